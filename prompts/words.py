"""Words that suites and manifests are made of: names of dimensions, texts on one line."""

from __future__ import annotations

import re
from functools import cache

from vbench_long.errors import UsageError
from vbench_long.registry import names_in, unknown

OFFICIAL_DIMENSIONS = (
    "subject_consistency",
    "background_consistency",
    "temporal_flickering",
    "motion_smoothness",
    "dynamic_degree",
    "aesthetic_quality",
    "imaging_quality",
    "object_class",
    "multiple_objects",
    "human_action",
    "color",
    "spatial_relationship",
    "scene",
    "appearance_style",
    "temporal_style",
    "overall_consistency",
)
"""The sixteen dimensions, in VBench's order."""

GROUP = "vbench_long.dimensions"
"""The entry-point group through which other packages add dimensions."""

PROMPT_LIMIT = 10_000
"""Characters a prompt may have: many times what any text encoder reads."""

FORM = 'the form is [{"prompt_en": "...", "dimension": ["..."], "auxiliary_info": {...}}, ...]'

# Line ends, terminal escapes and halves of surrogate pairs break tables, terminals and UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@cache
def known_dimensions() -> tuple[str, ...]:
    """The sixteen, and those of other packages."""
    return (*OFFICIAL_DIMENSIONS, *names_in(GROUP))


def check_prompt(text: str, what: str) -> str:
    """`text` if a generator can be given it: words on one line, 10000 characters at most.

    Raises:
        UsageError: another text, called `what`.
    """
    return check_text(text, what, "")


def check_text(value: object, what: str, where: str) -> str:
    """`value` if it is words on one line.

    Raises:
        UsageError: it is something else; says `what` it is, and `where` it stands.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{what} is not a text with words", where, FORM if where else "")
    if len(value) > PROMPT_LIMIT:
        found = f"{what} has {len(value)} characters"
        raise UsageError(found, where, f"{PROMPT_LIMIT} are the most")
    if UNPRINTABLE.search(value):
        raise UsageError(f"{what} has a line end or control character", where, "put it on one line")
    return value


def unknown_word(kind: str, name: str, known: tuple[str, ...], where: str) -> UsageError:
    """The error for a word nobody knows, which may be hostile, in a file."""
    fault = unknown(kind, UNPRINTABLE.sub("?", name)[:80], known)
    return UsageError(fault.what, where, fault.fix)
