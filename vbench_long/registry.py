"""Names to things, loaded when first asked for; third parties add theirs by entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from vbench_long.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of ``name -> "module:attribute"``, read lazily.

    Attributes:
        built_in: names that come with this package.

    Args:
        kind: what the entries are, for messages ("dimension").
        targets: built-in entries; the order is the order of :meth:`names`.
        group: entry-point group through which other packages add entries.
    """

    def __init__(self, kind: str, targets: dict[str, str], group: str) -> None:
        self.kind = kind
        self._targets = dict(targets)
        self.built_in = tuple(targets)
        self._group = group
        self._third_parties_read = False

    def names(self) -> tuple[str, ...]:
        """All known names, built-in ones first."""
        self._read_third_parties()
        return tuple(self._targets)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str) -> T:
        """The entry called `name`.

        Raises:
            UsageError: no such entry; the message names the nearest.
        """
        self._read_third_parties()
        if name not in self._targets:
            raise unknown(self.kind, name, tuple(self._targets))
        module, attribute = self._targets[name].split(":")
        found: Any = getattr(import_module(module), attribute)
        return cast(T, found)

    def _read_third_parties(self) -> None:
        if self._third_parties_read:
            return
        self._third_parties_read = True
        for entry in entry_points(group=self._group):
            if entry.name in self._targets:
                raise UsageError(
                    f"two packages define the {self.kind} '{entry.name}'",
                    entry.value,
                    "uninstall or rename one of them",
                )
            self._targets[entry.name] = entry.value


def unknown(kind: str, name: str, known: tuple[str, ...]) -> UsageError:
    """The error for a name nobody knows, with the nearest known one."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    fix = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} '{name}'", "", fix)
