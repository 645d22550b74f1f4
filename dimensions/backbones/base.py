"""What the published networks share: devices, precision, strict loading, pixels to tensors.

A network's file holds its hyper-parameters, its forward pass and its preprocessing; everything
that would be the same in all of them is here. Frames stay in 0..255 until a network scales them:
they become float32 before any resize and nothing rounds or clips what a resize makes of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vbench_long.dimensions.base import Feature
from vbench_long.errors import EnvironmentFault, VideoError
from vbench_long.products import Linear
from vbench_long.video import Frame, Image
from vbench_long.weights.base import Weights

M = TypeVar("M", bound=nn.Module)
Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Compute:
    """How networks run.

    Attributes:
        device: where.
        precision: "fp32" computes in float32 throughout; "tf32" lets a GPU round the factors of
            products and convolutions to TF32; "bf16" is "fp32" except in the networks that were
            found not to mind (see `autocast`).
        compile: whether networks go through `torch.compile`.
    """

    device: torch.device
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    compile: bool = False


class TorchBackbone(ABC):
    """A backbone that is a network. A subclass loads its checkpoint in its constructor.

    The constructor of every subclass takes `(weights, compute)` and calls this one.

    Attributes:
        cpu_batch: most items of one call on a CPU, where batches gain nothing.
        gpu_batch: most items of one call on an accelerator.
        efficiency: the share of a large matrix product's speed that it reaches, as
            `benchmarks/networks.py` measures it; 0 where nobody did, and no estimate is made.
        rounds: whether it computes in bfloat16 where that is asked; see `autocast`.
    """

    cpu_batch: ClassVar[int] = 1
    gpu_batch: ClassVar[int] = 32
    efficiency: ClassVar[float] = 0.0
    rounds: ClassVar[bool] = False

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.batch = self.cpu_batch if compute.device.type == "cpu" else self.gpu_batch

    @abstractmethod
    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Features of `items` as one tensor, first dimension as long as `items`.

        Called in inference mode, with the precision of products and convolutions set.
        """

    def rehearse(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> object:
        """What `features` does, on tensors without numbers; see `rehearsal.Rehearsed`.

        A network that looks at its numbers on the way makes some up here.
        """
        return self.features(items)

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """One float32 feature per item.

        Raises:
            VideoError: these frames cannot be measured, or a feature is not finite.
        """
        with computing(self.compute):
            features = self.features(items).float().cpu().numpy()
        if not np.isfinite(features).all():
            raise not_finite(self, items[0][0])
        return [np.asarray(feature) for feature in features]


def not_finite(network: object, frame: Frame) -> VideoError:
    """The error of a network that made NaN or infinity of frames from `frame` on."""
    return VideoError(
        f"{type(network).__name__} gave a feature that is no finite number",
        f"frame {frame.index} and after",
        "verify its checkpoint with `vbench-long weights verify`",
    )


@contextmanager
def computing(compute: Compute) -> Iterator[None]:
    """How every network runs: without gradients, in the precision that `compute` asks for."""
    with torch.inference_mode(), _tf32(compute):
        yield


@contextmanager
def _tf32(compute: Compute) -> Iterator[None]:
    """Allow TF32 in products and convolutions where `compute` asks for it, forbid it elsewhere."""
    if compute.device.type != "cuda":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = compute.precision == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def autocast(compute: Compute) -> torch.autocast:
    """bfloat16 autocast where `compute` asks for it: for networks that were found not to mind.

    That is DINO and CLIP, whose similarities of frames move by at most 1e-4 and 2e-4.
    """
    wanted = compute.precision == "bf16"
    return torch.autocast(compute.device.type, torch.bfloat16, enabled=wanted)


def rounded(module: M, compute: Compute) -> M:
    """`module`, its matrices kept as `autocast` would round them: half the memory, same numbers.

    Autocast alone would keep float32 and round again at every call.
    """
    if compute.precision == "bf16":
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                part.to(torch.bfloat16)
    return module


def compiled(function: Function, compute: Compute) -> Function:
    """`function`, through `torch.compile` where `compute` asks for it."""
    return cast(Function, torch.compile(function)) if compute.compile else function


def frames_TCHW(frames: Sequence[Frame], device: torch.device) -> Tensor:  # noqa: N802
    """Pixels of frames of one size: (T, 3, H, W) uint8 on `device`.

    A frame crosses to a device once, whatever the number of backbones that look at it.
    """

    def upload(rgb: Image) -> Tensor:
        # The transposed copy is writeable, which torch wants of memory it shares.
        return torch.from_numpy(np.array(rgb.transpose(2, 0, 1), order="C")).to(device)

    return torch.stack([frame.derive(("tensor", str(device)), upload) for frame in frames])


def prepared(
    items: Sequence[tuple[Frame, ...]],
    device: torch.device,
    prepare: Callable[[Tensor], Tensor],
) -> Tensor:
    """`prepare` applied to the frame of every item, one by one, and stacked.

    Full-size float pictures exist for one frame at a time this way, whatever the batch.
    """
    return torch.cat([prepare(frames_TCHW([frame], device)) for (frame,) in items])


def shorter_side(height: int, width: int, side: int) -> tuple[int, int]:
    """The size (height, width) whose shorter side is `side`; the longer one is cut to whole."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def resized(
    images_TCHW: Tensor,
    size: tuple[int, int],
    mode: Literal["bilinear", "bicubic"],
    antialias: bool,
) -> Tensor:
    """Images of `size` (height, width), float32; bicubic ones may leave the range they had.

    Equal to torchvision's `Resize` of float tensors.
    """
    return F.interpolate(
        images_TCHW.float(), size, mode=mode, align_corners=False, antialias=antialias
    )


def centre_crop(images_TCHW: Tensor, side: int) -> Tensor:
    """The central square; where it cannot be central, halves round to even, as in torchvision."""
    height, width = images_TCHW.shape[-2:]
    top, left = round((height - side) / 2), round((width - side) / 2)
    return images_TCHW[..., top : top + side, left : left + side]


def whole_edges(height: int, width: int, multiple: int) -> tuple[int, int, int, int]:
    """Padding to multiples of `multiple`: left, right, top, bottom, for `F.pad`."""
    wide, high = -width % multiple, -height % multiple
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def require_sides(height: int, width: int, smallest: int, network: str) -> None:
    """Refuse frames that are too small for `network`.

    Raises:
        VideoError: a side is shorter than `smallest` pixels.
    """
    if min(height, width) < smallest:
        raise VideoError(
            f"frames of {width}x{height} pixels are too small for {network}",
            "",
            f"it can measure frames of {smallest}x{smallest} pixels and more",
        )


def standardised(
    images_TCHW: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """Images of 0..255, scaled to 0..1, less `mean`, over `std`, channel by channel."""
    mean_3HW, std_3HW = (images_TCHW.new_tensor(values)[:, None, None] for values in (mean, std))
    return (images_TCHW / 255 - mean_3HW) / std_3HW


def strict_tensors(
    weights: Weights, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Exactly the `wanted` tensors of checkpoint `name`, in their dtypes; see `Weights.load`.

    Raises:
        EnvironmentFault: a key is missing, has another shape, or is not wanted.
    """
    found = weights.load(name, wanted, ignored)
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [k for k in wanted.keys() & found.keys() if found[k].shape != wanted[k].shape]
    for what, keys in (("lacks", missing), ("has unknown", extra), ("has misshapen", shapes)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise EnvironmentFault(
                f"the checkpoint {what} {min(keys)}{more}", name, "it is of another network"
            )
    return {key: found[key].to(tensor.dtype) for key, tensor in wanted.items()}


def strict_load(
    module: M,
    weights: Weights,
    name: str,
    rename: Callable[[str], str] = str,
    ignored: tuple[str, ...] = (),
) -> M:
    """`module` with the tensors of checkpoint `name`, frozen, in evaluation mode, on the CPU.

    Build the module under `torch.device("meta")`: its own numbers are never used.

    Args:
        module: the network.
        weights: source of checkpoints.
        name: of the checkpoint.
        rename: key of the module's state dict -> published key.
        ignored: regular expressions of published keys this network has no use for.

    Raises:
        EnvironmentFault: the checkpoint is absent, or does not fit the network exactly.
    """
    own = {key: tensor.to("meta") for key, tensor in module.state_dict().items()}
    wanted = {rename(key): tensor for key, tensor in own.items()}
    published = strict_tensors(weights, name, wanted, ignored)
    module.load_state_dict({key: published[rename(key)] for key in own}, strict=True, assign=True)
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = Linear  # Layers of other libraries too; all else of them stays.
    for key, tensor in chain(module.named_parameters(), module.named_buffers()):
        if tensor.is_meta:  # A buffer that checkpoints do not hold cannot be built on "meta".
            raise RuntimeError(f"{type(module).__name__}.{key} was left without numbers")
    return module.eval().requires_grad_(False)
