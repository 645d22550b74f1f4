"""The suite type and its loader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a suite.

    Attributes:
        text: what the generator is asked for.
        dimensions: official names of the dimensions its videos are judged on.
        auxiliary: per dimension, what that dimension must know of the prompt.
    """

    text: str
    dimensions: tuple[str, ...]
    auxiliary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suite:
    """A set of prompts.

    Attributes:
        name: "vbench", "long", "mini", or the file's stem.
        sha256: of the file's bytes.
        prompts: in the file's order.
    """

    name: str
    sha256: str
    prompts: tuple[Prompt, ...]


def load_suite(name_or_path: str) -> Suite:
    """To be replaced."""
    raise NotImplementedError


def suite_names() -> tuple[str, ...]:
    """To be replaced."""
    raise NotImplementedError
