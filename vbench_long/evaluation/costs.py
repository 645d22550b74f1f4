"""What work cost: seconds and memory, as measured."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vbench_long.records import Record


@dataclass(frozen=True, slots=True)
class Costs:
    """What judging cost, generated videos and all.

    Attributes:
        seconds: from the first video to the last.
        loading: of these, to build the backbones.
        backbones: of these, inside each backbone.
        dimensions: seconds each dimension would have taken alone; what several share counts for
            each of them.
        memory: most bytes the process ever had in memory; 0 where the system does not tell.
        device_memory: most bytes of an accelerator's memory that tensors took.
    """

    seconds: float = 0.0
    loading: float = 0.0
    backbones: Mapping[str, float] = field(default_factory=dict)
    dimensions: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0
    device_memory: int = 0

    def after(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """As JSON, together with what earlier calls for the same run `stored`."""
        own: dict[str, Any] = asdict(self)
        if not stored:
            return own
        return {
            **{name: stored[name] + own[name] for name in ("seconds", "loading")},
            **{name: _sum(stored[name], own[name]) for name in ("backbones", "dimensions")},
            **{name: max(stored[name], own[name]) for name in ("memory", "device_memory")},
        }


def seconds_by_dimension(records: Iterable[Record]) -> dict[str, float]:
    """Seconds spent for each dimension."""
    total: dict[str, float] = {}
    for record in records:
        total = _sum(total, {record.dimension: record.seconds})
    return total


def resident_memory() -> int:
    """Bytes of this process that are in memory; 0 where the system does not tell."""
    return _status("VmRSS")


def peak_memory() -> int:
    """Most bytes of this process that ever were in memory; 0 where the system does not tell.

    Not what `getrusage` says, which on Linux counts the parent's memory before this program began.
    """
    return _status("VmHWM")


def peak_device_memory() -> int:
    """Most bytes tensors took on a CUDA device; 0 without one, or if torch was never needed."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_allocated())


def _status(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def _sum(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {k: first.get(k, 0.0) + second.get(k, 0.0) for k in (*first, *second)}
