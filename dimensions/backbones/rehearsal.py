"""What a network costs, counted before it runs: its own code on tensors that hold no numbers.

A rehearsal builds the backbone as a run does, with weights that have shapes and nothing else, and
lets it go through one call. torch says the shapes of all that comes of it, so work and memory are
those of the call itself, at the size of the frames in question, and nothing is kept in step by
hand. It takes no memory, and about a second a network, most of it Python's.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, Protocol, runtime_checkable
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from vbench_long.dimensions.backbones.base import Compute, computing
from vbench_long.video import Frame
from vbench_long.weights.base import SharedWeights
from vbench_long.weights.seeded import SeededWeights


@runtime_checkable
class Rehearsed(Protocol):
    """A network that can go through its work on frames nobody looked at.

    Attributes:
        efficiency: the share of a large matrix product's speed that it reaches.
        rounds: whether it computes in bfloat16 where that is asked.
    """

    batch: int
    efficiency: float
    rounds: bool

    def rehearse(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> object:
        """Everything a call does that costs, for any numbers in the tensors."""
        ...


@runtime_checkable
class Guessing(Protocol):
    """A network whose work depends on what it sees."""

    def expect_most(self) -> None:
        """Rehearse as much as ever happens, which is what made-up weights come to."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What one network costs.

    Attributes:
        flop: of products and convolutions, per item.
        weights: bytes that lie in memory for it and for none before it.
        read: bytes of checkpoints that are read for it.
        passing: most bytes that live during a call, besides weights and frames.
        kept: bytes that stay with each frame, for a later call.
        efficiency: share of a large product's speed.
        precision: of that product.
    """

    flop: float
    weights: int
    read: int
    passing: int
    kept: int
    efficiency: float
    precision: str


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts bytes of tensors that come and go while it is on.

    Args:
        known: tensors that are there anyway, such as weights; they are not counted.

    Attributes:
        now: bytes alive.
        peak: most there ever were.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = {tensor.untyped_storage()._cdata: 0 for tensor in known}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage._cdata not in self._seen:
                self._seen[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, storage._cdata)
        return out

    def _free(self, key: int) -> None:
        self.now -= self._seen.pop(key)


class Rehearsal:
    """Networks of one run, rehearsed one after another; what they share is counted once."""

    def __init__(
        self, compute: Compute, shared: Iterable[str], weights: Literal["trained", "made up"]
    ) -> None:
        """`shared` names the checkpoints that lie in memory once for several networks."""
        self._made_up = weights == "made up"
        self._compute = replace(compute, compile=False)
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._hollow = _Hollow(self._mode)
        self._weights = SharedWeights(self._hollow, set(shared))
        self._built: dict[str, Any] = {}  # Kept, so that no tensor gets the number of another.
        self._resident: dict[int, int] = {}

    def cost(
        self, name: str, kind: Any, size: tuple[int, int], frames: int, views: Sequence[str]
    ) -> Cost | None:
        """What the network `name` costs; asked again, with other frames, it has no more weights.

        Args:
            name: of the backbone.
            kind: its class.
            size: height and width of the frames.
            frames: of an item.
            views: that are asked of every item; one empty name where there are no views.

        Returns:
            None for a backbone that cannot be rehearsed.
        """
        read, before = self._hollow.read, sum(self._resident.values())
        if name not in self._built:
            with patch.object(nn.Module, "_apply", _overwritten):
                self._built[name] = kind(self._weights, self._compute)
            if self._made_up and isinstance(self._built[name], Guessing):
                self._built[name].expect_most()
        backbone = self._built[name]
        if not isinstance(backbone, Rehearsed) or not backbone.efficiency:
            return None
        held = list(_tensors(vars(backbone).values()))
        for tensor in held:
            storage = tensor.untyped_storage()
            self._resident[storage._cdata] = storage.nbytes()
        count = max(1, backbone.batch // len(views))
        shown = [Frame(i, np.zeros((*size, 3), np.uint8)) for i in range(count + frames - 1)]
        items = [tuple(shown[i : i + frames]) for i in range(count) for _ in views]
        with ExitStack() as stack:
            stack.enter_context(self._mode)
            live = stack.enter_context(Live(held))
            flop = stack.enter_context(flop_counter())
            stack.enter_context(computing(self._compute))
            backbone.rehearse(items, [*views] * count)
        return Cost(
            flop=flop.get_total_flops() / count,
            weights=sum(self._resident.values()) - before,
            read=self._hollow.read - read,
            passing=live.peak,
            kept=live.now // len(shown),
            efficiency=backbone.efficiency,
            precision=self._precision(backbone),
        )

    def _precision(self, backbone: Rehearsed) -> str:
        wanted = self._compute.precision
        return "fp32" if wanted == "bf16" and not backbone.rounds else wanted


class _Hollow(SeededWeights):
    """Weights of the right shapes without numbers.

    Attributes:
        read: bytes that would have been read so far.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode, self.read = mode, 0

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        with self._mode:
            made = {key: torch.empty(t.shape, dtype=t.dtype) for key, t in wanted.items()}
        self.read += sum(tensor.nbytes for tensor in made.values())
        return made


def flop_counter() -> FlopCounterMode:
    """Counts floating point operations of products and convolutions, oneDNN's products too."""
    return FlopCounterMode(display=False, custom_mapping=_ONEDNN)


def _tensors(values: Iterable[object]) -> Iterator[Tensor]:
    """The tensors in the attributes of a backbone."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, nn.Module):
            yield from value.state_dict(keep_vars=True).values()
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
        elif isinstance(value, Mapping):
            yield from _tensors(value.values())


def _overwritten(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """`nn.Module._apply` for tensors without numbers, which cannot be changed in place.

    torch's own switch for that (`torch.__future__`) swaps such tensors, and refuses while anything
    refers to them weakly, as the mode that made them does.
    """
    for part in module.modules():
        for name, own in part._parameters.items():
            if own is not None:
                part._parameters[name] = nn.Parameter(change(own.data), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = change(buffer)
    return module


def _product_flop(x: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """Of `products.linear`, which torch's counter does not know."""
    return 2 * prod(x) * weight[0]


_ONEDNN: dict[Any, Any] = {
    getattr(torch.ops.mkldnn, name): _product_flop
    for name in ("_linear_pointwise",)
    if hasattr(torch.ops.mkldnn, name)  # Not in builds without oneDNN.
}
