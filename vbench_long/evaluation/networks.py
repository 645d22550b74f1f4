"""Where networks get their weights, and how they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vbench_long.dimensions import BACKBONES, Backbone, Dimension
from vbench_long.dimensions.base import CHECKPOINTS, backbone_and_view, checkpoints_of
from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.weights import fetch
from vbench_long.weights.catalog import cache_folder, checkpoint
from vbench_long.weights.checkpoint import Found

if TYPE_CHECKING:
    from vbench_long.dimensions.backbones.base import Compute
    from vbench_long.weights.base import Weights

SEEDED = "seeded"


@dataclass(frozen=True)
class Networks:
    """Builds backbones. torch is imported when the first network is built.

    Attributes:
        weights: "seeded" for untrained numbers, a folder of checkpoints, or "" for the caches.
        device: "cpu", "cuda", "mps", or "auto" for the best there is.
        precision: see `Compute`.
        compile: whether networks go through `torch.compile`.
    """

    weights: str = ""
    device: str = "auto"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    compile: bool = False

    @property
    def untrained(self) -> bool:
        """Whether the numbers are made up."""
        return self.weights == SEEDED

    def build(self, name: str) -> Backbone:
        """The backbone called `name`, with its weights loaded.

        Raises:
            EnvironmentFault: no such device here, or a checkpoint that does not load.
        """
        kind: Any = BACKBONES.get(name)
        is_network = checkpoints_of(name) is not None
        built: Backbone = kind(self._source, self.compute) if is_network else kind()
        return built

    def identity(self, dimension: Dimension) -> str:
        """What computes `dimension`: its own identity, the weights', and how networks run."""
        names = checkpoints_for(dimension)
        if not names:
            return dimension.identity
        if self.untrained:
            return f"{dimension.identity}/{self.precision}/{SEEDED}"
        ids = [f"{name}:{fetch.sha256(self._locate(name))[:12]}" for name in names]
        return f"{dimension.identity}/{self.precision}/{','.join(ids)}"

    def require(self, dimensions: Iterable[Dimension]) -> None:
        """Make sure that everything `dimensions` need is on this machine.

        Raises:
            EnvironmentFault: names every checkpoint that is not, who waits for it, and the
                command that gets all of them.
        """
        if self.untrained:
            return
        absent: dict[str, list[str]] = {}
        for dimension in dimensions:
            for name in checkpoints_for(dimension):
                try:
                    self._locate(name)
                except EnvironmentFault:
                    absent.setdefault(name, []).append(dimension.name)
        if not absent:
            return
        waits = "; ".join(
            f"{name} ({checkpoint(name).file}) for {', '.join(who)}" for name, who in absent.items()
        )
        raise EnvironmentFault(
            f"{len(absent)} checkpoints are not on this machine: {waits}",
            self.weights or str(cache_folder()),
            f"get them with: vbench-long weights pull {' '.join(absent)}",
        )

    def files(self, names: Iterable[str]) -> list[Found]:
        """Where the checkpoints `names` lie, of those that are on this machine."""
        found = []
        for name in names:
            with suppress(EnvironmentFault):
                found.append(self._locate(name))
        return found

    def _locate(self, name: str) -> Found:
        return fetch.locate(checkpoint(name), Path(self.weights) if self.weights else None)

    @cached_property
    def _source(self) -> Weights:
        from vbench_long.weights.base import SharedWeights
        from vbench_long.weights.seeded import SeededWeights
        from vbench_long.weights.stored import StoredWeights

        source: Weights = SeededWeights()
        if not self.untrained:
            source = StoredWeights(Path(self.weights) if self.weights else None)
        return SharedWeights(source, shared_checkpoints())

    @cached_property
    def compute(self) -> Compute:
        """The device and precision that were asked for.

        Raises:
            EnvironmentFault: no such device here.
            UsageError: a precision that the device does not have.
        """
        import torch

        from vbench_long.dimensions.backbones.base import Compute

        here = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
            "cpu": True,
        }
        device = next(k for k, v in here.items() if v) if self.device == "auto" else self.device
        if not here.get(device):
            names = ", ".join(name for name, present in here.items() if present)
            raise EnvironmentFault(
                f"there is no device '{device}' here", "--device", f"use one of: {names}"
            )
        if self.precision == "tf32" and device != "cuda":
            raise UsageError("tf32 exists on CUDA devices only", device, "use --precision fp32")
        return Compute(torch.device(device), self.precision, self.compile)


def checkpoints_for(dimension: Dimension) -> list[str]:
    """Names of the checkpoints a dimension's backbones load."""
    named = dimension.backbones[dimension.backend].values()
    backbones = [backbone_and_view(name)[0] for name in named]
    return list(dict.fromkeys(name for b in backbones for name in checkpoints_of(b) or ()))


def shared_checkpoints() -> set[str]:
    """Names of the checkpoints that several networks load."""
    users = Counter(name for names in CHECKPOINTS.values() for name in names)
    return {name for name, count in users.items() if count > 1}
