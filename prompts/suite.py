"""The suite type and its loader."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.prompts import official
from vbench_long.prompts.auxiliary import check_auxiliary
from vbench_long.prompts.words import (
    FORM,
    OFFICIAL_DIMENSIONS,
    check_prompt,
    check_text,
    known_dimensions,
    unknown_word,
)
from vbench_long.registry import unknown

SIZE_LIMIT = 16 * 2**20
"""Bytes a suite file may have."""

_NAMES = ("long", "mini", "vbench")
_OURS = Path(__file__).with_name("long.json")
_KEYS = ("prompt_en", "dimension", "auxiliary_info", "mini")

_OF_A_LIST = OFFICIAL_DIMENSIONS[:7]
"""What a list of prompts is judged on: the quality dimensions, which ask nothing of a prompt."""

_CLIP_SECONDS = {"human_action": 10.0, "temporal_style": 10.0, "overall_consistency": 10.0}
_SHORT_CLIP_SECONDS = 2.0

# 18 digits fit a 64-bit integer; a longer number is no index but part of the prompt.
_NUMBERED = re.compile(r"(?P<prompt>.*)-(?P<index>[0-9]{1,18})", re.DOTALL)


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

    @property
    def clip_seconds(self) -> float:
        """Length of the clips of its videos, in seconds."""
        return clip_seconds(self.dimensions)


@dataclass(frozen=True, slots=True)
class Suite:
    """A set of distinct prompts.

    Attributes:
        name: "vbench", "long", "mini", or the file's stem.
        sha256: of the file's bytes.
        prompts: in the file's order.
        samples_per_prompt: how many videos are made from each prompt.
        samples_per_dimension: dimensions whose prompts need more videos than that.
    """

    name: str
    sha256: str
    prompts: tuple[Prompt, ...]
    samples_per_prompt: int = 1
    samples_per_dimension: Mapping[str, int] = field(default_factory=dict)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that some prompt serves: in the official order, others behind."""
        served = {dimension for prompt in self.prompts for dimension in prompt.dimensions}
        return tuple(dimension for dimension in known_dimensions() if dimension in served)

    def serving(self, dimension: str) -> tuple[Prompt, ...]:
        """The prompts whose videos are judged on `dimension`."""
        return tuple(prompt for prompt in self.prompts if dimension in prompt.dimensions)

    def samples(self, prompt: Prompt) -> int:
        """How many videos are made from `prompt`."""
        more = (self.samples_per_dimension.get(name, 0) for name in prompt.dimensions)
        return max((self.samples_per_prompt, *more))

    def sample_named(self, stem: str) -> tuple[Prompt, int] | None:
        """The prompt and index of the video file called ``{prompt}-{index}``.

        Strict, as the published program is with a suite: the index must be there, in its usual
        spelling. Returns None for every other name.
        """
        text, index = prompt_of(stem)
        if stem != f"{text}-{index}":
            return None
        return next(((prompt, index) for prompt in self.prompts if prompt.text == text), None)


def clip_seconds(dimensions: Iterable[str]) -> float:
    """Length in seconds of the clips of a video that is judged on `dimensions`.

    A video is cut once for all its dimensions, so the longest clip any of them wants wins;
    without dimensions it is 2.

    Source: `clip_length_mix.yaml` of VBench-Long and its rule for suites.
    """
    wanted = (_CLIP_SECONDS.get(dimension, _SHORT_CLIP_SECONDS) for dimension in dimensions)
    return max(wanted, default=_SHORT_CLIP_SECONDS)


def prompt_of(stem: str) -> tuple[str, int]:
    """The prompt and index in a video's file name without its suffix.

    A final ``-<digits>`` is the index; without it the whole stem is the prompt and the index 0.

    Source: VBench, `get_prompt_from_filename`.
    """
    numbered = _NUMBERED.fullmatch(stem)
    return (numbered["prompt"], int(numbered["index"])) if numbered else (stem, 0)


def suite_of(prompts: Iterable[str]) -> Suite:
    """A suite of prompts that serve no dimension: for making videos, not for comparing models.

    Raises:
        UsageError: no prompt, or one that is empty, huge or not one line of text.
    """
    texts = tuple(dict.fromkeys(check_prompt(text, "the prompt") for text in prompts))
    if not texts:
        raise UsageError("there is no prompt", "", "give at least one")
    data = json.dumps(texts).encode()
    return Suite("prompts", _sha256(data), tuple(Prompt(text, ()) for text in texts))


def suite_names() -> tuple[str, ...]:
    """The suites that have a name."""
    return _NAMES


def load_suite(name_or_path: str) -> Suite:
    """Read a suite.

    Args:
        name_or_path: "long" (ours), "mini" (eight prompts of it), "vbench" (the official one), or
            the path of a JSON file in the official form: a list of ``{"prompt_en": text,
            "dimension": [names], "auxiliary_info": {dimension: {...}}}``. Of a dimension that must
            know more than it is told here a run says so, prompt by prompt. A file called ``.txt``
            has one prompt per line, as VBench's lists of a category do, for the seven quality
            dimensions.

    Returns:
        The suite. Entries with the same text are one prompt: a sample is (prompt, index).

    Raises:
        UsageError: no such suite, or the file breaks the form; the entry is named, from 1.
        EnvironmentFault: the official file is not on this machine, or is not the official one.
    """
    if name_or_path == "vbench":
        path = official.locate()
        if path is None:
            raise EnvironmentFault(
                f"the official suite's {official.FILE} is not on this machine",
                "vbench",
                f"get it with `{official.PULL}`",
            )
        data = _read(path)
        official.verify(data, str(path))
        return _official(data, path)
    if name_or_path in _NAMES:
        data = _read(_OURS)
        entries = _entries(data, _OURS)
        if name_or_path == "mini":
            entries = [entry for entry in entries if entry.mini]
        return Suite(name_or_path, _sha256(data), _distinct(entries))
    path = Path(name_or_path)
    data = _read(path)
    if _sha256(data) == official.SHA256:
        return _official(data, path)
    read = _lines if path.suffix == ".txt" else _entries
    return Suite(path.stem, _sha256(data), _distinct(read(data, path)))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a file, checked: where it stands, its prompt, and whether mini has it."""

    where: str
    prompt: Prompt
    mini: bool


def _official(data: bytes, path: Path) -> Suite:
    prompts = _distinct(_entries(data, path))
    return Suite("vbench", _sha256(data), prompts, 5, {"temporal_flickering": 25})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        if path.suffix or len(path.parts) > 1:
            raise UsageError(
                "no such suite file", str(path), f"give a JSON or text file, or {', '.join(_NAMES)}"
            ) from None
        raise unknown("suite", str(path), _NAMES) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(f"the suite cannot be read ({error})", ascii(str(path))) from error
    if len(data) > SIZE_LIMIT:
        raise UsageError(f"the suite has more than {SIZE_LIMIT >> 20} MiB", str(path), "split it")
    return data


def _entries(data: bytes, path: Path) -> list[_Entry]:
    try:
        rows = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the suite is not JSON ({error})", str(path), FORM) from error
    if not isinstance(rows, list) or not rows:
        raise UsageError("the suite is not a list with entries", str(path), FORM)
    return [_entry(row, f"{path}, entry {number}") for number, row in enumerate(rows, start=1)]


def _lines(data: bytes, path: Path) -> list[_Entry]:
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the suite is not UTF-8 ({error})", str(path)) from error
    told = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not told:
        raise UsageError("the suite has no prompt", str(path), "write one per line")
    entries = []
    for number, line in told:
        where = f"{path}, line {number}"
        text = check_text(line, "the prompt", where)
        entries.append(_Entry(where, Prompt(text, _OF_A_LIST), False))
    return entries


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _entry(row: object, where: str) -> _Entry:
    if not isinstance(row, dict):
        raise UsageError("not an object", where, FORM)
    for key in row:
        if key not in _KEYS:
            raise unknown_word("key", key, _KEYS, where)
    mini = row.get("mini", False)
    if not isinstance(mini, bool):
        raise UsageError("mini is neither true nor false", where)
    text = check_text(row.get("prompt_en"), "prompt_en", where)
    dimensions = _dimensions(row.get("dimension"), where)
    auxiliary = check_auxiliary(row.get("auxiliary_info", {}), dimensions, where)
    return _Entry(where, Prompt(text, dimensions, auxiliary), mini)


def _dimensions(names: object, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not names:
        raise UsageError("dimension is not a list with names", where, FORM)
    for name in names:
        check_text(name, "a name in dimension", where)
        if name not in known_dimensions():
            raise unknown_word("dimension", name, known_dimensions(), where)
    return tuple(dict.fromkeys(names))


def _distinct(entries: Iterable[_Entry]) -> tuple[Prompt, ...]:
    merged: dict[str, Prompt] = {}
    for entry in entries:
        new = entry.prompt
        old = merged.get(new.text, Prompt(new.text, ()))
        for dimension, facts in new.auxiliary.items():
            if old.auxiliary.get(dimension, facts) != facts:
                raise UsageError(
                    f"the prompt occurs before with other auxiliary_info of {dimension}",
                    entry.where,
                    "keep one of them",
                )
        merged[new.text] = Prompt(
            new.text,
            tuple(dict.fromkeys(old.dimensions + new.dimensions)),
            {**old.auxiliary, **new.auxiliary},
        )
    return tuple(merged.values())
