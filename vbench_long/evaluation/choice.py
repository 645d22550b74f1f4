"""Which dimensions a run has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vbench_long.dimensions import DIMENSIONS, Dimension
from vbench_long.dimensions.base import Rules
from vbench_long.dimensions.temporal_flickering import StaticFlickering
from vbench_long.errors import UsageError
from vbench_long.registry import unknown

BACKENDS = ("classical", "reference")


def choose_dimensions(
    names: Sequence[str], backend: str, static_filter: bool = False, rules: Rules = "parity"
) -> list[Dimension]:
    """Build the dimensions asked for, or all that `backend` has, to judge by `rules`.

    With `static_filter`, temporal flickering keeps still clips only.

    Raises:
        UsageError: an unknown name (the nearest is suggested), or one `backend` cannot judge.
    """
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS)
    if not names:
        names = [name for name in DIMENSIONS if backend in DIMENSIONS.get(name).backbones]
    kinds = [_kind(name) for name in dict.fromkeys(names)]
    if static_filter:
        kinds = [StaticFlickering if k.name == StaticFlickering.name else k for k in kinds]
    return [kind(backend, rules) for kind in kinds]


def _kind(name: str) -> type[Dimension]:
    kind: Any = DIMENSIONS.get(name)
    if not (isinstance(kind, type) and issubclass(kind, Dimension)):
        raise UsageError(f"'{name}' is no dimension", DIMENSIONS.package(name), "uninstall it")
    if kind.name != name:
        raise UsageError(
            f"the dimension '{name}' calls itself '{kind.name}'",
            DIMENSIONS.package(name),
            "give its entry point the same name",
        )
    return kind
