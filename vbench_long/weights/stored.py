"""Published checkpoints as tensors: read without trusting them, and strictly."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Self

import torch

from vbench_long.errors import EnvironmentFault
from vbench_long.weights import fetch
from vbench_long.weights.catalog import checkpoint
from vbench_long.weights.checkpoint import Checkpoint, Found

LOG = logging.getLogger("vbench_long")

_ANOTHER = "it is of another model, or a conversion that renamed its tensors"
_NAMED = 3  # How many keys an error names.


class StoredWeights:
    """Weights read from checkpoints on this machine; nothing is downloaded.

    Attributes:
        untrained: False.

    Args:
        folder: where to look before the caches; None for ``VBENCH_LONG_WEIGHTS``, if set.
        catalog: the checkpoints there are; None for all that are known.
    """

    untrained = False

    def __init__(
        self, folder: Path | None = None, catalog: Mapping[str, Checkpoint] | None = None
    ) -> None:
        self._folder = folder
        self._catalog = catalog

    def load(
        self, name: str, wanted: Mapping[str, torch.Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, torch.Tensor]:
        """The tensors of checkpoint `name`; see `Weights.load`.

        Floating tensors come in the dtype that is wanted. They may be mapped from the file, not
        read: change a copy.

        Raises:
            EnvironmentFault: the checkpoint is not here, is damaged, would run code, is of another
                model, or holds NaN or infinity.
            UsageError: no such checkpoint, or the folder does not exist.
        """
        record = checkpoint(name, self._catalog)
        found = fetch.locate(record, self._folder)
        LOG.debug("%s is read from %s", name, found)
        _require_settings(record, found)
        tensors = _state_dict(_content(record, found), record, found)
        _require_fit(tensors, wanted, ignored, found)
        return {key: _converted(tensors[key], wanted[key], key, found) for key in wanted}

    def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
        """The words of vocabulary `name`; see `Weights.words`.

        Raises:
            EnvironmentFault: the file is not here, is damaged, or holds other words.
            UsageError: no such vocabulary, or the folder does not exist.
        """
        found = fetch.locate(checkpoint(name, self._catalog), self._folder)
        LOG.debug("%s is read from %s", name, found)
        words = _words(found)
        other = [i for i, word in known.items() if i >= len(words) or words[i] != word]
        if len(words) != count or other:
            raise EnvironmentFault(
                f"not the vocabulary {name}: {len(words)} words instead of {count}, {len(other)} of"
                f" {len(known)} that must be there are not",
                str(found),
                f"get the published file with `vbench-long weights pull {name}`",
            )
        return words

    def sha256(self, name: str) -> str:
        """Checksum of the file, or of the member of a zip, that `load` reads.

        Raises:
            EnvironmentFault: the checkpoint is not here or damaged.
            UsageError: no such checkpoint, or the folder does not exist.
        """
        return fetch.sha256(fetch.locate(checkpoint(name, self._catalog), self._folder))


def _require_settings(record: Checkpoint, found: Found) -> None:
    """Compare the file that says how the checkpoint was trained, if there is one, with the record.

    Raises:
        EnvironmentFault: it says otherwise, or cannot be read.
    """
    if not record.settings:
        return
    beside = Found(found.path.with_name(record.settings_file))
    if found.member:
        beside = Found(found.path, str(PurePosixPath(found.member).with_name(record.settings_file)))
    try:
        text = fetch.read_member(beside) if beside.member else beside.path.read_bytes()
        said = json.loads(text)
        differ = [f"{k} is {said.get(k)!r}" for k, v in record.settings.items() if said.get(k) != v]
    except (FileNotFoundError, KeyError):
        return
    except Exception as error:  # Whatever hostile bytes make a parser raise means the same.
        differ = [_reason(error)]
    if differ:
        raise EnvironmentFault(
            f"checkpoint {record.name} was trained in another way ({', '.join(differ)})",
            str(beside),
            f"get the published file with `vbench-long weights pull {record.name}`",
        )


def _content(record: Checkpoint, found: Found) -> object:
    """What the file holds, told by its content and not by its ending."""
    # The unpicklers and parsers meet hostile bytes: whatever they raise means the same to a user.
    try:
        source = fetch.read_member(found) if found.member else found.path
        kind = _kind(source, found)
        if kind == "torchscript":
            return _torchscript(source, record, found)
        if kind == "safetensors":
            return _safetensors(source)
        published = kind == "zip" and fetch.sha256(found) == record.sha256
        with torch.serialization.safe_globals(_placeholders(source) if published else []):
            # Only a file can be mapped, and only the zip form of torch.save.
            mapped = kind == "zip" and isinstance(source, Path)
            return torch.load(_file(source), map_location="cpu", weights_only=True, mmap=mapped)
    except EnvironmentFault:
        raise
    except Exception as error:
        raise EnvironmentFault(
            f"checkpoint {record.name} is damaged, or cannot be read without running code from it"
            f" ({_reason(error)})",
            str(found),
            f"get the published file with `vbench-long weights pull {record.name}`",
        ) from error


def _words(found: Found) -> list[str]:
    """Words in a text file, one a line, or those of the longest list in Python source.

    Nothing of the source is run.
    """
    try:
        data = fetch.read_member(found) if found.member else found.path.read_bytes()
        text = data.decode()
        if not str(found).endswith(".py"):
            return text.splitlines()
        lists = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.List)]
        longest = max(lists, key=lambda node: len(node.elts))
        return [str(ast.literal_eval(word)) for word in longest.elts]
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        raise EnvironmentFault(f"not a list of words ({error})", str(found)) from error


class _Placeholder:
    """Stands for what an object in a pickle would have been; does nothing, whatever it is told."""

    def __new__(cls, *_: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _placeholders(source: Path | bytes) -> list[Any]:
    """For each class a checkpoint names besides tensors, a stand-in.

    Some authors pickled their settings beside the weights, AMT's it seems. The file is theirs
    byte for byte, and yet nothing of theirs is imported or called.
    """
    names = torch.serialization.get_unsafe_globals_in_checkpoint(_file(source))
    return [(_Placeholder, name) for name in names]


def _file(source: Path | bytes) -> Path | io.BytesIO:
    return source if isinstance(source, Path) else io.BytesIO(source)


def _reason(error: Exception) -> str:
    """The telling line of an error; torch adds paragraphs on how to switch its protection off."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    telling = (line for line in lines if re.search("[Uu]nsupported|Can only|Trying to", line))
    return next(telling, lines[0]).strip().partition(" Please")[0][:200]


def _kind(source: Path | bytes, found: Found) -> str:
    """One of zip (torch.save), torchscript, safetensors, pickle (old torch.save, or junk)."""
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
        head, size = file.read(9), file.seek(0, io.SEEK_END)
        if not head.startswith(b"PK\x03\x04"):
            header = int.from_bytes(head[:8], "little")
            return "safetensors" if head[8:] == b"{" and header < size else "pickle"
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > 2 * size + (1 << 20):  # torch.save does not compress.
        raise EnvironmentFault(
            f"the checkpoint would unpack to {unpacked} bytes", str(found), "do not trust it"
        )
    scripted = any(entry.filename.rpartition("/")[2] == "constants.pkl" for entry in entries)
    return "torchscript" if scripted else "zip"


def _torchscript(source: Path | bytes, record: Checkpoint, found: Found) -> dict[str, Any]:
    # One reading is both checked and run: the file may change between two.
    data = source.read_bytes() if isinstance(source, Path) else source
    if sha256(data).hexdigest() != record.sha256:
        raise EnvironmentFault(
            f"checkpoint {record.name} is a TorchScript archive, which runs code, and not the"
            " published one",
            str(found),
            f"get the published file with `vbench-long weights pull {record.name}`, or save the"
            " state dict alone",
        )
    with warnings.catch_warnings():
        # The archive is published in this form, deprecated or not.
        warnings.simplefilter("ignore")
        module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    state: dict[str, Any] = module.state_dict()
    return state


def _safetensors(source: Path | bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load, load_file

    return load_file(source) if isinstance(source, Path) else load(source)


def _state_dict(content: object, record: Checkpoint, found: Found) -> dict[str, Any]:
    """The state dict inside, without the record's wrapper and prefix."""
    if isinstance(content, Mapping) and record.entry in content:
        content = content[record.entry]
    if not isinstance(content, Mapping):
        raise EnvironmentFault("the checkpoint holds no state dict", str(found), _ANOTHER)
    state = {str(key): value for key, value in content.items()}
    if record.prefix and all(key.startswith(record.prefix) for key in state):
        return {key.removeprefix(record.prefix): value for key, value in state.items()}
    return state


def _require_fit(
    tensors: Mapping[str, Any],
    wanted: Mapping[str, torch.Tensor],
    ignored: tuple[str, ...],
    found: Found,
) -> None:
    """Every wanted tensor is there and has its shape, and nothing unknown is there."""
    missing = [key for key in wanted if key not in tensors]
    unknown = [
        key
        for key in tensors
        if key not in wanted and not any(re.fullmatch(pattern, key) for pattern in ignored)
    ]
    unfit = [
        f"{key} {_form(tensors[key])} instead of {_form(tensor)}"
        for key, tensor in wanted.items()
        if key in tensors and not _fits(tensors[key], tensor)
    ]
    problems = [
        _listed(what, keys)
        for what, keys in (("lacks", missing), ("has unknown", unknown), ("has unfit", unfit))
        if keys
    ]
    if problems:
        raise EnvironmentFault(f"the checkpoint {'; '.join(problems)}", str(found), _ANOTHER)


def _listed(what: str, keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"{what} {', '.join(keys[:_NAMED])}{more}"


def _fits(tensor: object, wanted: torch.Tensor) -> bool:
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.shape == wanted.shape
        and tensor.is_floating_point() == wanted.is_floating_point()
        and tensor.is_complex() == wanted.is_complex()
    )


def _form(tensor: object) -> str:
    if not isinstance(tensor, torch.Tensor):
        return type(tensor).__name__
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _converted(tensor: torch.Tensor, wanted: torch.Tensor, key: str, found: Found) -> torch.Tensor:
    converted = tensor.detach().to(wanted.dtype)
    if not torch.isfinite(converted).all():
        raise EnvironmentFault(
            f"the checkpoint holds NaN or infinity in {key}", str(found), "get it again"
        )
    return converted
