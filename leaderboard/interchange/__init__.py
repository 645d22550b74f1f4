"""Runs to and from the result files of others: VBench's own, its submission zip, Hugging Face's."""
