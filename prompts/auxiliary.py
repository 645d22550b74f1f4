"""Auxiliary information: what dimensions must know of a prompt besides its text.

In VBench's form it is, per dimension, ``{"object_class": {"object": "dog"}}``; scene and
spatial_relationship nest once more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from vbench_long.errors import UsageError
from vbench_long.prompts.words import FORM, check_text, known_dimensions, unknown_word

_PATHS = {
    "object_class": ("object",),
    "multiple_objects": ("object",),
    "color": ("color",),
    "spatial_relationship": (
        "spatial_relationship.object_a",
        "spatial_relationship.object_b",
        "spatial_relationship.relationship",
    ),
    "scene": ("scene.scene",),
    "appearance_style": ("appearance_style",),
    "human_action": ("action",),
}
"""Where the information of a dimension stands, as dotted paths to texts."""

AUXILIARY_COLUMNS = tuple(_PATHS)
"""Columns a manifest may have: each named like a dimension, and says in a few words what that
dimension is to look for."""

_RELATION = re.compile("(.+) (on the (?:left|right|top|bottom) of) (.+)")


def check_auxiliary(info: object, dimensions: Collection[str] | None, where: str) -> dict[str, Any]:
    """`info` if it is auxiliary information in VBench's form, for `dimensions` or any there are.

    A dimension that nothing is said of is no fault here.

    Raises:
        UsageError: another form, another dimension, or what a dimension needs is not there.
    """
    if not isinstance(info, dict):
        raise UsageError("auxiliary_info is not an object", where, FORM)
    known = known_dimensions() if dimensions is None else tuple(dimensions)
    for name, facts in info.items():
        if name not in known:
            raise unknown_word("dimension in auxiliary_info", name, known, where)
        if not isinstance(facts, dict):
            raise UsageError(f"auxiliary_info of {name} is not an object", where, FORM)
        _check_texts(facts, f"auxiliary_info of {name}", where)
        for dotted in _PATHS.get(name, ()):
            _check_needed(info, (name, *dotted.split(".")), where)
    return info


def auxiliary_in_words(dimension: str, words: str, where: str) -> dict[str, Any]:
    """What `dimension` is to look for, told in a few words, in VBench's form.

    Args:
        dimension: one of `AUXILIARY_COLUMNS`.
        words: "dog", "bird and cat", "red", "a cat on the left of a dog", "alley", "oil painting",
            "riding a bike".
        where: they stand.

    Raises:
        UsageError: these are no such words.
    """
    texts = [check_text(words, dimension, where).strip()]
    if dimension == "spatial_relationship":
        found = _RELATION.fullmatch(texts[0])
        if found is None:
            example = "bicycle on the left of car"
            raise UsageError(f"{dimension} '{words[:60]}' is no relation", where, f"'{example}'")
        texts = [found[1], found[3], found[2]]
    facts: dict[str, Any] = {}
    for dotted, text in zip(_PATHS[dimension], texts, strict=True):
        *parents, leaf = dotted.split(".")
        node = facts
        for key in parents:
            node = node.setdefault(key, {})
        node[leaf] = text
    return facts


def _check_texts(facts: Mapping[str, object], what: str, where: str) -> None:
    # The official form nests once more for scene and spatial_relationship, never deeper.
    for value in facts.values():
        for text in value.values() if isinstance(value, dict) else (value,):
            check_text(text, what, where)


def _check_needed(info: object, keys: tuple[str, ...], where: str) -> None:
    node = info
    for key in keys:
        if not isinstance(node, dict) or key not in node:
            raise UsageError(
                f"{keys[0]} needs auxiliary_info {'.'.join(keys)}",
                where,
                "add it, or take the dimension out",
            )
        node = node[key]
    check_text(node, f"auxiliary_info {'.'.join(keys)}", where)
