"""Generators: prompt and seed in, frames out. Each is one file with the contract of `base`."""

from vbench_long.generators.base import GENERATORS, Generator, Outline, Outlined, Report, Request

__all__ = ["GENERATORS", "Generator", "Outline", "Outlined", "Report", "Request"]
