"""Options of generators: text to values."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

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


def described(factory: Callable[..., object]) -> str:
    """The options of a generator, for people: what its factory says, then one line for each.

    Lines come from the dataclasses that the factory's module names in `OPTIONS`, if it does: their
    fields, and what their docstrings say of them under "Attributes:".
    """
    about = inspect.getdoc(factory) or ""
    paragraphs = [about.split("\nRaises:")[0].replace("``", "").strip()]
    for kind in getattr(sys.modules[factory.__module__], "OPTIONS", ()):
        said = _attributes(kind)
        hints = get_type_hints(kind)
        for field in fields(kind):
            words = " | ".join(get_args(hints[field.name]))
            default = "" if field.default is MISSING else f"={field.default}"
            choices = f" ({words})" if words else ""
            paragraphs.append(f"{field.name}{default}{choices}\n    {said.get(field.name, '')}")
    return "\n".join(paragraphs)


def _attributes(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of those it extends say of its attributes."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        _, _, below = (one.__doc__ or "").partition("Attributes:\n")
        for entry in re.split(r"\n {8}(?=\w)", "\n" + below.split("\n\n")[0]):
            name, _, text = entry.partition(":")
            found[name.strip()] = " ".join(text.split())
    return found
