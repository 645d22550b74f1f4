"""Suites: sets of prompts, each with the dimensions it serves."""

from vbench_long.prompts.suite import Prompt, Suite, load_suite, suite_names

__all__ = ["Prompt", "Suite", "load_suite", "suite_names"]
