"""Which checkpoints there are, and everywhere each may lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vbench_long.errors import UsageError
from vbench_long.registry import Registry, unknown
from vbench_long.weights.checkpoint import Checkpoint, Found, Hub, Url
from vbench_long.weights.published import PUBLISHED

FOLDER_VARIABLE = "VBENCH_LONG_WEIGHTS"

CATALOG: Mapping[str, Checkpoint] = {checkpoint.name: checkpoint for checkpoint in PUBLISHED}
"""The checkpoints of the built-in networks."""

_OTHERS: Registry[Checkpoint] = Registry("checkpoint", {}, group="vbench_long.checkpoints")


def all_checkpoints() -> Mapping[str, Checkpoint]:
    """The catalog, and what other packages add to it.

    Raises:
        UsageError: another package's record has a name that is taken, or another than its entry.
        EnvironmentFault: another package cannot be imported.
    """
    others = {name: _OTHERS.get(name) for name in _OTHERS}
    for name, record in others.items():
        if name in CATALOG or record.name != name:
            raise UsageError(
                f"{_OTHERS.package(name)} calls a checkpoint '{name}' that is another's name",
                record.name,
                "uninstall it, or rename its checkpoint",
            )
    return {**CATALOG, **others}


def checkpoint(name: str, catalog: Mapping[str, Checkpoint] | None = None) -> Checkpoint:
    """The record called `name`, of `catalog` or of all there are.

    Raises:
        UsageError: no such checkpoint; the message names the nearest.
    """
    if catalog is None:
        catalog = CATALOG if name in CATALOG else all_checkpoints()
    if name not in catalog:
        raise unknown("checkpoint", name, tuple(catalog))
    return catalog[name]


def cache_folder() -> Path:
    """Where `pull` puts what does not go into the Hugging Face cache; it need not exist."""
    return _user_cache() / "vbench-long" / "weights"


def candidates(checkpoint: Checkpoint, folder: Path | None = None) -> list[Found]:
    """Everywhere the checkpoint may lie, in the order of lookup.

    `folder` (else ``VBENCH_LONG_WEIGHTS``), the caches of VBench and of the programs it calls, our
    cache, the Hugging Face cache. The first of these may be flat, a copy of VBench's cache, or hold
    the user's own conversion, ``NAME.safetensors`` or ``NAME.pth``, which no checksum binds.

    Raises:
        UsageError: the folder does not exist.
    """
    named = folder or _variable(FOLDER_VARIABLE)
    places = [] if named is None else _in_users_folder(checkpoint, named)
    places += [_published(checkpoint, _cache_path(path)) for path in checkpoint.cache_paths]
    places += _in_folder(checkpoint, cache_folder())
    hubs = [place for place in checkpoint.published if isinstance(place, Hub)]
    return [*places, *(found for hub in hubs for found in _in_hub(checkpoint, hub))]


def from_hub(checkpoint: Checkpoint, hub: Hub, path: Path) -> Found:
    """What the file that `hub` publishes must be."""
    if hub.file == checkpoint.file:
        return _published(checkpoint, path)
    return Found(path, "", hub.sha256)


def _published(checkpoint: Checkpoint, path: Path) -> Found:
    return Found(path, "", checkpoint.sha256, checkpoint.size)


def _in_users_folder(checkpoint: Checkpoint, folder: Path) -> list[Found]:
    if not folder.is_dir():
        raise UsageError("the folder of weights does not exist", str(folder))
    copied = [p.removeprefix("vbench/") for p in checkpoint.cache_paths if p.startswith("vbench/")]
    return [
        *_in_folder(checkpoint, folder),
        *(_published(checkpoint, folder / path) for path in copied),
        *(Found(folder / f"{checkpoint.name}{end}") for end in (".safetensors", ".pth")),
    ]


def _in_folder(checkpoint: Checkpoint, folder: Path) -> list[Found]:
    urls = [url for url in checkpoint.published if isinstance(url, Url)]
    zipped = [(folder / url.file, member) for url in urls for member in url.members]
    whole = _published(checkpoint, folder / checkpoint.file)
    return [whole, *(Found(path, member, checkpoint.sha256) for path, member in zipped)]


def _in_hub(checkpoint: Checkpoint, hub: Hub) -> list[Found]:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub.repo, hub.file, revision=hub.revision)
    return [from_hub(checkpoint, hub, Path(path))] if isinstance(path, str) else []


def _cache_path(path: str) -> Path:
    root, _, rest = path.partition("/")
    if root == "vbench":
        return (_variable("VBENCH_CACHE_DIR") or Path.home() / ".cache" / "vbench") / rest
    if root == "torch":
        return (_variable("TORCH_HOME") or _user_cache() / "torch") / rest
    return Path.home() / ".cache" / rest


def _user_cache() -> Path:
    base = _variable("XDG_CACHE_HOME")
    # The XDG rules say that a relative path counts as unset.
    return base if base and base.is_absolute() else Path.home() / ".cache"


def _variable(name: str) -> Path | None:
    return Path(os.environ[name]) if os.environ.get(name) else None
