"""Names to things, loaded when first asked for; other packages add theirs by entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from vbench_long.errors import EnvironmentFault, UsageError

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
        self.built_in = tuple(targets)
        self._entries = {name: EntryPoint(name, value, group) for name, value in targets.items()}
        self._group = group
        self._others_read = False

    def names(self) -> tuple[str, ...]:
        """All known names, built-in ones first."""
        self._read_others()
        return tuple(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str) -> T:
        """The entry called `name`.

        Raises:
            UsageError: no such entry; the message names the nearest.
            EnvironmentFault: another package defines it, and cannot be imported.
        """
        self._read_others()
        if name not in self._entries:
            raise unknown(self.kind, name, tuple(self._entries))
        entry = self._entries[name]
        if name in self.built_in:
            return cast(T, entry.load())
        try:
            found: Any = entry.load()
        except Exception as error:  # Other people's code, which may fail in any way.
            raise EnvironmentFault(
                f"the {self.kind} '{name}' cannot be loaded ({type(error).__name__}: {error})",
                entry.value,
                f"repair or uninstall {self.package(name)}",
            ) from error
        return cast(T, found)

    def package(self, name: str) -> str:
        """The package that adds the entry, with its version; empty for a built-in one."""
        entry = self._entries[name]
        return f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""

    def _read_others(self) -> None:
        if self._others_read:
            return
        for entry in entry_points(group=self._group):
            if entry.name in self._entries:
                raise UsageError(
                    f"two packages define the {self.kind} '{entry.name}'",
                    f"{self._entries[entry.name].value}, {entry.value}",
                    "uninstall or rename one of them",
                )
            self._entries[entry.name] = entry
        self._others_read = True


def names_in(group: str) -> tuple[str, ...]:
    """What other packages add to an entry-point group; nothing is imported."""
    return tuple(entry.name for entry in entry_points(group=group))


def unknown(kind: str, name: str, known: tuple[str, ...]) -> UsageError:
    """The error for a name nobody knows, with the nearest known one."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    fix = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} '{name}'", "", fix)
