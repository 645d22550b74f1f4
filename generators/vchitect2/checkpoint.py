"""The published checkpoint folder: what lies in it, read strictly.

A missing tensor is an error, whatever a library would make of the rest: Stable Diffusion 3's own
class accepts this transformer's file, drops the video branches with a warning, and draws images.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from safetensors import safe_open
from torch import Tensor, nn

from vbench_long.errors import EnvironmentFault
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.cost import PIXELS_PER_LATENT
from vbench_long.generators.vchitect2.keys import is_video_projection, published_keys, stacked
from vbench_long.generators.vchitect2.transformer import Transformer

LOG = logging.getLogger("vbench_long")
M = TypeVar("M", bound=nn.Module)

REPOSITORY = "Vchitect/Vchitect-2.0-2B"
WEIGHTS = "diffusion_pytorch_model"  # Stem of the files with tensors, as diffusers has it.
CLIP_TOKENS = (("vocab.json", "tokenizer.json"), ("merges.txt", "tokenizer.json"))
LAYOUT: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "transformer": (("config.json",),),
    "vae": (("config.json",),),
    "scheduler": (("scheduler_config.json",),),
    "text_encoder": (("config.json",),),
    "text_encoder_2": (("config.json",),),
    "text_encoder_3": (("config.json",),),
    "tokenizer": CLIP_TOKENS,
    "tokenizer_2": CLIP_TOKENS,
    "tokenizer_3": (("spiece.model", "tokenizer.json"),),
}
"""The folders of a checkpoint, and the files in each; of a group of files, one is enough."""
STEMS = {
    **dict.fromkeys(("transformer", "vae"), (WEIGHTS, WEIGHTS)),
    **dict.fromkeys(
        ("text_encoder", "text_encoder_2", "text_encoder_3"), ("model", "pytorch_model")
    ),
}
"""The folders with tensors, and the stems of their files: safetensors, others."""
T5_FOLDERS = ("text_encoder_3", "tokenizer_3")

GET = f"get it whole with `hf download {REPOSITORY} --local-dir DIR`"
_FLOATS = ("F64", "F32", "F16", "BF16")
_NAMED = 3  # How many names an error lists.


def find_checkpoint(name: str) -> Path:
    """The folder that `name` means: a path; if empty, the Hugging Face cache's.

    Raises:
        EnvironmentFault: there is no such folder. Nothing is downloaded.
    """
    if name:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder
        raise EnvironmentFault("there is no such checkpoint folder", name, GET)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(REPOSITORY, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise EnvironmentFault(
            "the checkpoint is not on this machine",
            REPOSITORY,
            f"`hf download {REPOSITORY}` puts it where it is found, or name its folder"
            " (checkpoint=DIR)",
        ) from error


def require_layout(root: Path, unread: Collection[str] = ()) -> None:
    """Refuse a folder that lacks something, naming all it lacks, before anything is loaded.

    Args:
        root: the checkpoint folder.
        unread: folders in it that nobody is going to read.

    Raises:
        EnvironmentFault: a file of `LAYOUT`, or one with tensors, is not there.
    """
    missing = [
        f"{folder}/{' or '.join(group)}"
        for folder, groups in LAYOUT.items()
        for group in groups
        if folder not in unread and not any((root / folder / file).is_file() for file in group)
    ]
    for folder, (stem, _) in STEMS.items():
        if folder in unread:
            continue
        files = weight_files(root / folder) or [root / folder / f"{stem}.safetensors"]
        missing += [f"{folder}/{file.name}" for file in files if not file.is_file()]
    if missing:
        raise EnvironmentFault(f"the checkpoint folder lacks {_listed(missing)}", str(root), GET)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        EnvironmentFault: it is not there, or holds no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"the file cannot be read ({error})", str(path), GET) from error
    if not isinstance(content, dict):
        raise EnvironmentFault("the file holds no JSON object", str(path), GET)
    return content


def is_untrained(root: Path) -> bool:
    """Whether the checkpoint was made up by `vbench-long weights seed`."""
    index = root / "model_index.json"
    return index.is_file() and read_json(index).get("untrained") is True


def empty_transformer(
    root: Path, changes: Mapping[str, float] = MappingProxyType({})
) -> Transformer:
    """The transformer of a checkpoint folder without its numbers, on the "meta" device.

    Args:
        root: the checkpoint folder.
        changes: to the config ({"rope_scaling_factor": 2.0}).

    Raises:
        EnvironmentFault: its config is not there, or of another model.
    """
    path = root / "transformer" / "config.json"
    try:
        config = TransformerConfig.from_published({**read_json(path), **changes})
    except ValueError as error:
        raise EnvironmentFault(f"it is of another model ({error})", str(path), GET) from error
    with torch.device("meta"):
        return Transformer(config)


def empty_vae(root: Path, config: TransformerConfig) -> AutoencoderKL:
    """The autoencoder of a checkpoint folder without its numbers, on the "meta" device.

    Raises:
        EnvironmentFault: its config is not there, or its latents are not the transformer's.
    """
    path = root / "vae" / "config.json"
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(read_json(path))
    shrink = 2 ** (len(vae.config.block_out_channels) - 1)
    if vae.config.latent_channels != config.in_channels or shrink != PIXELS_PER_LATENT:
        raise EnvironmentFault("its latents are not the transformer's", str(path), GET)
    return vae


def fill_transformer(
    transformer: Transformer, root: Path, dtype: torch.dtype, device: torch.device
) -> Transformer:
    """The transformer with its numbers, frozen; see `strict_load`."""
    return strict_load(transformer, root / "transformer", published_keys, dtype, device)


def fill_vae(
    vae: AutoencoderKL, root: Path, dtype: torch.dtype, device: torch.device
) -> AutoencoderKL:
    """The autoencoder with its numbers, frozen; see `strict_load`."""
    return strict_load(vae, root / "vae", lambda key: (key,), dtype, device)


def load_scheduler(root: Path) -> FlowMatchEulerDiscreteScheduler:
    """What knows how noisy the latents are at each step.

    Raises:
        EnvironmentFault: it is not there, or of another kind of model.
    """
    path = root / "scheduler" / "scheduler_config.json"
    config = read_json(path)
    if config.get("_class_name") != FlowMatchEulerDiscreteScheduler.__name__:
        raise EnvironmentFault("the scheduler is of another kind of model", str(path), GET)
    return FlowMatchEulerDiscreteScheduler.from_config(config)


def strict_load(
    module: M,
    folder: Path,
    names: Callable[[str], tuple[str, ...]],
    dtype: torch.dtype,
    device: torch.device,
) -> M:
    """`module`, built on "meta", with the tensors in `folder`; frozen, in evaluation mode.

    Args:
        module: the network.
        folder: holds one file of tensors, or several with an index.
        names: a key of the module -> the keys in the files whose tensors it stacks by rows.
        dtype: of the numbers.
        device: where they go, tensor by tensor.

    Raises:
        EnvironmentFault: a tensor is missing, misshapen, not of floating point, or not finite.
    """
    stored = StoredTensors(folder)
    own = module.state_dict()
    stored.require(
        {
            name: (tensor.shape[0] // len(names(key)), *tensor.shape[1:])
            for key, tensor in own.items()
            for name in names(key)
        }
    )
    state = {}
    for key in own:
        state[key] = stacked([stored.read(name).to(device, dtype) for name in names(key)])
        if not state[key].isfinite().all():
            raise EnvironmentFault(f"{key} holds NaN or infinity", str(folder), "get it again")
    module.load_state_dict(state, strict=True, assign=True)
    return module.eval().requires_grad_(False)


class StoredTensors:
    """The tensors of a folder, by name; each is read when asked for.

    Raises:
        EnvironmentFault: there is no file of tensors, or one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._readers: dict[str, Callable[[str], Tensor]] = {}
        self._forms: dict[str, tuple[tuple[int, ...], bool]] = {}  # Shape; whether of floats.
        for file in weight_files(folder):
            try:
                self._open(file)
            # Whatever the parsers of foreign bytes raise means the same to a user.
            except Exception as error:
                raise EnvironmentFault(
                    f"the file of tensors is damaged ({error})", str(file), GET
                ) from error

    def _open(self, file: Path) -> None:
        if file.suffix == ".bin":
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            for key, tensor in state.items():
                self._readers[key] = state.__getitem__
                self._forms[key] = tuple(tensor.shape), tensor.is_floating_point()
            return
        handle: Any = safe_open(file, framework="pt")
        for key in handle.keys():  # noqa: SIM118 - it is no mapping
            view = handle.get_slice(key)
            self._readers[key] = handle.get_tensor
            self._forms[key] = tuple(view.get_shape()), view.get_dtype() in _FLOATS

    def read(self, name: str) -> Tensor:
        """The tensor called `name`, on the CPU; it may be mapped from the file."""
        return self._readers[name](name)

    def require(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Every tensor of `shapes` is there and fits; one nobody wants is worth a warning.

        Raises:
            EnvironmentFault: one is missing, misshapen, or not of floating point.
        """
        where = str(self._folder)
        missing = [name for name in shapes if name not in self._forms]
        if missing and all(is_video_projection(name) for name in missing):
            raise EnvironmentFault(
                "this is an image model: the tensors of the branches that make video are missing,"
                f" {_listed(missing)}",
                where,
                GET,
            )
        there = {name: self._forms[name] for name in shapes if name not in missing}
        misshapen = [name for name, (shape, _) in there.items() if shape != shapes[name]]
        whole = [name for name, (_, floats) in there.items() if not floats]
        for what, names in (
            ("the checkpoint lacks", missing),
            ("it is of another size of model: the config does not fit the shapes of", misshapen),
            ("numbers of floating point are wanted, and there are others in", whole),
        ):
            if names:
                raise EnvironmentFault(f"{what} {_listed(names)}", where, GET)
        if unknown := [name for name in self._forms if name not in shapes]:
            LOG.warning("%s: tensors nobody wants: %s", where, _listed(unknown))


def weight_files(folder: Path) -> list[Path]:
    """The files with a component's tensors: one, or the shards its index names; or none."""
    safe, other = STEMS.get(folder.name, (WEIGHTS, WEIGHTS))
    for name in (f"{safe}.safetensors", f"{other}.bin"):
        file, index = folder / name, folder / f"{name}.index.json"
        if index.is_file():
            shards = read_json(index).get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise EnvironmentFault("the index names no shards", str(index), GET)
            # Names alone: an index has no business in other folders.
            return [folder / Path(str(shard)).name for shard in dict.fromkeys(shards.values())]
        if file.is_file():
            return [file]
    return []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
