"""The checkpoints as data: where each is published and may lie, its checksum, licence and use.

Sources of the checksums: OpenAI writes its own into the addresses, MUSIQ's first eight digits stand
in its file name; the others are those on which independent users of the same files agree. Sizes and
the layout of VBench's cache come from VBench's loader and its users, the layout of DreamSim's zip
from its loader alone. Nothing of this was measured on the files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vbench_long.errors import UsageError
from vbench_long.registry import unknown

FOLDER_VARIABLE = "VBENCH_LONG_WEIGHTS"


@dataclass(frozen=True, slots=True)
class Url:
    """A checkpoint published at a web address.

    Attributes:
        address: https address of the file, or of a zip that holds it.
        members: names inside the zip, any of which is the checkpoint; empty when the address is
            the checkpoint itself.
    """

    address: str
    members: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the downloaded file."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Hub:
    """A checkpoint published in a repository of the Hugging Face Hub.

    Another file name than `Checkpoint.file` means a conversion: the same numbers, says who made it.

    Attributes:
        repo: owner and name.
        file: path inside the repository.
        revision: branch, tag or commit.
        sha256: of a conversion, leading digits; empty if nobody published any.
    """

    repo: str
    file: str
    revision: str = "main"
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published set of weights.

    Attributes:
        name: what backbones ask for.
        file: path below a folder of checkpoints; the published file name.
        published: where it can be had, the authors' own place first.
        licence: SPDX identifier, or a sentence.
        commercial: whether the licence allows commercial use.
        dimensions: who waits for it.
        sha256: as many leading digits as are known; empty if nobody published any.
        size: bytes; 0 if unknown.
        cache_paths: where other programs keep it; the first part says below what: ``vbench``
            (VBench's cache), ``torch`` (torch.hub's), ``cache`` (``~/.cache``).
        entry: key of the state dict inside the stored dictionary; empty if it is the whole.
        prefix: may stand before every key, and is dropped then.
        settings_file: JSON beside the checkpoint that says how it was trained; may be absent.
        settings: what that file must say, because the network takes it for granted.
        note: what else a user should know.
    """

    name: str
    file: str
    published: tuple[Url | Hub, ...]
    licence: str
    commercial: bool
    dimensions: tuple[str, ...]
    sha256: str = ""
    size: int = 0
    cache_paths: tuple[str, ...] = ()
    entry: str = ""
    prefix: str = ""
    settings_file: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A place a checkpoint may lie at.

    Attributes:
        path: the file.
        member: name inside it if it is a zip; else empty.
        sha256: leading digits the content's checksum must have; empty if none are known.
        size: bytes the file must have; 0 if unknown.
    """

    path: Path
    member: str = ""
    sha256: str = ""
    size: int = 0

    def __str__(self) -> str:
        return f"{self.path}, {self.member}" if self.member else str(self.path)


_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_CLIP_B = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_L = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
_DREAMSIM = (
    "https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/"
    "dreamsim_ensemble_checkpoint.zip"
)
_DEVELOPMENT = "only for the clip-to-clip models of VBench-Long's development mode"

_CHECKPOINTS = (
    Checkpoint(
        name="dino_vitb16",
        file="dino_vitbase16_pretrain.pth",
        published=(
            Url(
                "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/"
                "dino_vitbase16_pretrain.pth"
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        dimensions=("subject_consistency", "background_consistency"),
        sha256="bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
        size=343_242_485,
        cache_paths=(
            "vbench/dino_model/dino_vitbase16_pretrain.pth",
            "torch/hub/checkpoints/dino_vitbase16_pretrain.pth",
            "cache/checkpoints/dino_vitbase16_pretrain.pth",
        ),
    ),
    Checkpoint(
        name="dinov2_vitb14",
        file="dinov2_vitb14_pretrain.pth",
        published=(
            Url("https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"),
        ),
        licence="Apache-2.0",
        commercial=True,
        dimensions=("subject_consistency",),
        sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        size=346_378_731,
        cache_paths=(
            "torch/hub/checkpoints/dinov2_vitb14_pretrain.pth",
            "cache/checkpoints/dinov2_vitb14_pretrain.pth",
        ),
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="dreamsim_clip_vitb16",
        file="clip_vitb16_pretrain.pth.tar",
        published=(Url(_DREAMSIM, ("clip_vitb16_pretrain.pth.tar",)),),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency",),
        cache_paths=("cache/clip_vitb16_pretrain.pth.tar",),
        entry="state_dict",
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="dreamsim_open_clip_vitb16",
        file="open_clip_vitb16_pretrain.pth.tar",
        published=(Url(_DREAMSIM, ("open_clip_vitb16_pretrain.pth.tar",)),),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency",),
        cache_paths=("cache/open_clip_vitb16_pretrain.pth.tar",),
        entry="state_dict",
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="dreamsim_lora",
        file="ensemble_lora/adapter_model.safetensors",
        # Its loader takes either form, and nobody says which one the zip holds.
        published=(
            Url(
                _DREAMSIM,
                ("ensemble_lora/adapter_model.safetensors", "ensemble_lora/adapter_model.bin"),
            ),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency",),
        cache_paths=(
            "cache/ensemble_lora/adapter_model.safetensors",
            "cache/ensemble_lora/adapter_model.bin",
        ),
        settings_file="adapter_config.json",
        settings={"r": 16, "lora_alpha": 8},
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="clip_vitb32",
        file="ViT-B-32.pt",
        published=(
            Url(f"{_OPENAI}/{_CLIP_B}/ViT-B-32.pt"),
            Hub(
                "timm/vit_base_patch32_clip_224.openai",
                "open_clip_model.safetensors",
                sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            ),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency", "appearance_style"),
        sha256=_CLIP_B,
        size=353_976_522,
        cache_paths=("vbench/clip_model/ViT-B-32.pt", "cache/clip/ViT-B-32.pt"),
    ),
    Checkpoint(
        name="clip_vitl14",
        file="ViT-L-14.pt",
        published=(
            Url(f"{_OPENAI}/{_CLIP_L}/ViT-L-14.pt"),
            Hub("timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("aesthetic_quality",),
        sha256=_CLIP_L,
        size=932_768_134,
        cache_paths=("vbench/clip_model/ViT-L-14.pt", "cache/clip/ViT-L-14.pt"),
    ),
    Checkpoint(
        name="laion_aesthetic_l14",
        file="sa_0_4_vit_l_14_linear.pth",
        published=(
            Url(
                "https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/"
                "sa_0_4_vit_l_14_linear.pth"
            ),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("aesthetic_quality",),
        sha256="2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
        size=4_071,
        cache_paths=("vbench/aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",),
    ),
    Checkpoint(
        name="raft_things",
        file="raft-things.pth",
        published=(
            Url(
                "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip",
                ("models/raft-things.pth",),
            ),
            # The same bytes, for networks where Dropbox is blocked.
            Url("https://github.com/sczhou/ProPainter/releases/download/v0.1.0/raft-things.pth"),
        ),
        licence="BSD-3-Clause",
        commercial=True,
        dimensions=("dynamic_degree",),
        sha256="fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
        size=21_108_000,
        cache_paths=("vbench/raft_model/models/raft-things.pth",),
    ),
    Checkpoint(
        name="amt_s",
        file="amt-s.pth",
        published=(Hub("lalala125/AMT", "amt-s.pth"),),
        licence="CC-BY-NC-4.0",
        commercial=False,
        dimensions=("motion_smoothness",),
        sha256="07e7e03405c213fe4405678db9b42d05671e48c56faf6a441b99bb0047d3cf77",
        size=12_038_359,
        cache_paths=("vbench/amt_model/amt-s.pth",),
        entry="state_dict",
    ),
    Checkpoint(
        name="musiq_spaq",
        file="musiq_spaq_ckpt-358bb6af.pth",
        published=(
            Url(
                "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/"
                "musiq_spaq_ckpt-358bb6af.pth"
            ),
        ),
        licence="Apache-2.0 by its authors, PolyForm-Noncommercial-1.0.0 where it is hosted",
        commercial=False,
        dimensions=("imaging_quality",),
        sha256="358bb6af275e28ea56821d44fb55c6cb83645db11f394d3ad65b2d149965ab50",
        size=108_610_983,
        cache_paths=("vbench/pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",),
        prefix="module.",
    ),
)

CATALOG: Mapping[str, Checkpoint] = {checkpoint.name: checkpoint for checkpoint in _CHECKPOINTS}


def checkpoint(name: str, catalog: Mapping[str, Checkpoint] = CATALOG) -> Checkpoint:
    """The record called `name`.

    Raises:
        UsageError: no such checkpoint; the message names the nearest.
    """
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
