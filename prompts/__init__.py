"""Suites: sets of prompts, each with the dimensions it serves."""

from vbench_long.prompts.suite import (
    Prompt,
    Suite,
    clip_seconds,
    load_suite,
    prompt_of,
    suite_names,
    suite_of,
)
from vbench_long.prompts.words import OFFICIAL_DIMENSIONS, check_prompt, known_dimensions

__all__ = [
    "OFFICIAL_DIMENSIONS",
    "Prompt",
    "Suite",
    "check_prompt",
    "clip_seconds",
    "known_dimensions",
    "load_suite",
    "prompt_of",
    "suite_names",
    "suite_of",
]
