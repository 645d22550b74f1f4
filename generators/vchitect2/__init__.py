"""Vchitect-2.0, the reference text-to-video generator."""
