"""Suites: sets of prompts, each with the dimensions it serves."""

from vbench_long.prompts.suite import (
    OFFICIAL_DIMENSIONS,
    Prompt,
    Suite,
    check_prompt,
    clip_seconds,
    load_suite,
    prompt_of,
    suite_names,
    suite_of,
)

__all__ = [
    "OFFICIAL_DIMENSIONS",
    "Prompt",
    "Suite",
    "check_prompt",
    "clip_seconds",
    "load_suite",
    "prompt_of",
    "suite_names",
    "suite_of",
]
