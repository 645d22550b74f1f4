"""Result files out of a zip, a folder or a single file: in memory, by name, within limits."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

from vbench_long.errors import UsageError
from vbench_long.leaderboard.text import shorten

LOG = logging.getLogger("vbench_long")

ARCHIVE_LIMIT: Final = 32 * 2**20
"""Bytes a zip may have. A run of the whole official suite packs into less than one million."""
FILE_LIMIT: Final = 64 * 2**20
"""Bytes one unpacked file may have."""
TOTAL_LIMIT: Final = 128 * 2**20
"""Bytes all files may have together."""
ENTRY_LIMIT: Final = 1000
"""Entries a zip, or files a folder, may have."""
RATIO_LIMIT: Final = 200
"""How many bytes one packed byte may become; asked of files over `RATIO_FROM`."""
RATIO_FROM: Final = 2**20

PROVENANCE: Final = "provenance.jsonl"
"""What this package adds to an export. The published reader looks at names ending in json only."""

RESULTS: Final = "_eval_results.json"
FULL_INFO: Final = "_full_info.json"
_REPACK: Final = "pack the result files again, as plain files"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One file, parsed.

    Attributes:
        name: its path inside the zip or folder, with slashes.
        content: JSON types; every number is finite, no key occurs twice.
        sha256: of its bytes.
    """

    name: str
    content: Any
    sha256: str


def read_files(source: Path) -> list[ResultFile]:
    """Read the result files, sorted by name.

    Those are ``..._eval_results.json`` and ``..._full_info.json`` where the published reader
    looks, at the top or one folder deep, not below names that begin with ``.`` or ``__``; and
    `PROVENANCE`. Nothing is unpacked to disk; other files are never opened.

    Args:
        source: a zip, a folder, or one ``..._eval_results.json`` (its ``..._full_info.json`` is
            read with it).

    Raises:
        UsageError: no such files, a broken or hostile zip, a file over the limits, or not JSON.
    """
    try:
        if source.is_dir():
            contents = dict(_from_folder(source))
        elif source.suffix == ".json":
            partner = source.with_name(full_info_name(source.name))
            paths = [source, *([partner] if partner != source and partner.is_file() else [])]
            contents = {path.name: _read(path, FILE_LIMIT, "file") for path in paths}
        else:
            contents = dict(_from_zip(source))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"the results cannot be read ({reason})", str(source)) from error
    if source.suffix != ".json" and not any(name.endswith(RESULTS) for name in contents):
        raise UsageError(
            "there is no result file in it",
            str(source),
            "VBench writes NAME_eval_results.json; it belongs at the top or one folder deep",
        )
    return [
        ResultFile(name, _json(data, name), hashlib.sha256(data).hexdigest())
        for name, data in sorted(contents.items())
    ]


def full_info_name(results: str) -> str:
    """The name of the file that lists the prompts behind a results file."""
    return results.removesuffix(RESULTS) + FULL_INFO


def is_shallow(value: Any, levels: int) -> bool:
    """Whether a JSON value nests at most `levels` deep, so that others can write it again."""
    if not isinstance(value, dict | list):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(is_shallow(item, levels - 1) for item in inside)


def _expected(name: str) -> bool:
    path = PurePosixPath(name)
    if len(path.parts) > 2 or any(part.startswith((".", "__")) for part in path.parts):
        return False
    return name == PROVENANCE or path.name.endswith((RESULTS, FULL_INFO))


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    inside = [*folder.iterdir(), *(p for d in folder.iterdir() if d.is_dir() for p in d.iterdir())]
    files = [path for path in inside if not path.is_dir()]
    _check_count(len(files), str(folder))
    total = 0
    for path in files:
        name = path.relative_to(folder).as_posix()
        if not _expected(name):
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError("a link that leads out of the folder", name, "put the file itself in")
        data = _read(path, FILE_LIMIT, "file")
        total += len(data)
        _check_total(total, str(folder))
        yield name, data
    _say_left_out([path.relative_to(folder).as_posix() for path in files])


def _from_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    data = _read(path, ARCHIVE_LIMIT, "zip")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, str(path))
            for entry in entries:
                if not entry.is_dir() and _expected(entry.filename):
                    yield entry.filename, _unpack(archive, entry)
            _say_left_out([entry.filename for entry in entries if not entry.is_dir()])
    # Every way in which zipfile says that the bytes are not what their headers promise.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise UsageError(
            f"not a zip, or a damaged one ({error})", str(path), "pack or copy it again"
        ) from error


def _check_entries(entries: Sequence[zipfile.ZipInfo], where: str) -> None:
    """Refuse the whole zip for one hostile entry, whether it would be read or not."""
    _check_count(len(entries), where)
    seen: set[str] = set()
    for entry in entries:
        name = shorten(entry.orig_filename, 120)
        path = entry.filename.removesuffix("/")
        if path in seen:
            raise UsageError("the zip holds the same name twice", name, "keep one of them")
        seen.add(path)
        strange = "\\" in path or "\0" in entry.orig_filename or re.match(r"[A-Za-z]:", path)
        if strange or any(part in ("", ".", "..") for part in path.split("/")):
            raise UsageError("a name in the zip leads out of it", name, _REPACK)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UsageError("an entry of the zip is a link or device", name, _REPACK)
        if entry.flag_bits & 0x2041:
            raise UsageError("an entry of the zip is encrypted", name, "pack it without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UsageError(
                f"an entry of the zip is packed by method {entry.compress_type}", name, _REPACK
            )
        if entry.file_size > FILE_LIMIT:
            raise UsageError(f"the file has more than {FILE_LIMIT >> 20} MiB", name, "split it")
        if entry.file_size > max(RATIO_FROM, RATIO_LIMIT * entry.compress_size):
            raise UsageError(f"the file unpacks to over {RATIO_LIMIT} times its size", name)
    _check_total(sum(entry.file_size for entry in entries), where)


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        data = file.read(entry.file_size)  # no more, whatever the packed bytes could become
    if len(data) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename} is shorter than it says")
    return data


def _read(path: Path, limit: int, what: str) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UsageError(f"the {what} has more than {limit >> 20} MiB", str(path), "split it")
    return data


def _check_count(count: int, where: str) -> None:
    if count > ENTRY_LIMIT:
        raise UsageError(f"{count} files, the most are {ENTRY_LIMIT}", where, "keep the results")


def _check_total(size: int, where: str) -> None:
    if size > TOTAL_LIMIT:
        raise UsageError(f"the files have more than {TOTAL_LIMIT >> 20} MiB", where, "split them")


def _say_left_out(names: Sequence[str]) -> None:
    others = sorted(shorten(name, 80) for name in names if not _expected(name))
    if others:
        more = ", ..." if len(others) > 3 else ""
        LOG.info("%d files hold no results: %s%s", len(others), ", ".join(others[:3]), more)


def _json(data: bytes, name: str) -> Any:
    """Strict JSON: UTF-8, no NaN, no Infinity, no key twice, no half characters."""
    try:
        text = data.decode("utf-8")
        content = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_distinct_keys,
        )
        if "\\u" in text:  # only an escape can bring half a character past the decoding
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        reason = shorten(str(error), 160)
        raise UsageError(f"not valid JSON ({reason})", name, "write it again") from error
    return content


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > 18:
        raise ValueError(f"{text} is too large")
    return int(text)


def _distinct_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = Counter(key for key, _ in pairs)
        raise ValueError(f"the key '{keys.most_common(1)[0][0]}' occurs twice")
    return content
