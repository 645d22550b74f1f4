"""Options of generators: text to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vbench_long.errors import UsageError
from vbench_long.registry import unknown


def read_options(
    generator: str, options: Mapping[str, str], readers: Mapping[str, Callable[[str], Any]]
) -> dict[str, Any]:
    """Each of `options` through the reader of its name.

    Raises:
        UsageError: an option without a reader, or a text that its reader refuses (ValueError).
    """
    values = {}
    for name, text in options.items():
        if name not in readers:
            raise unknown(f"option of {generator}", name, tuple(readers))
        try:
            values[name] = readers[name](text.strip())
        except ValueError as error:
            fix = "give a whole number" if readers[name] is int else "give a number"
            raise bad_option(generator, name, text, fix) from error
    return values


def bad_option(generator: str, name: str, value: object, fix: str) -> UsageError:
    """The error for a value that an option cannot have."""
    return UsageError(f"{name}={value} is not possible", f"options of {generator}", fix)
