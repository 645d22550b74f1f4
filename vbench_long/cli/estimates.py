"""An estimate and what work really cost, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vbench_long.evaluation.costs import Costs
    from vbench_long.evaluation.estimate import Estimate, Part


def told(found: Estimate) -> str:
    """What a run is about to do: a line for each backbone, then time and memory in all."""
    if not found.videos:
        return "plan: nothing is left to do"
    if not found.parts:
        return f"plan: {_videos(found)}; nothing is known of their frames"
    height, width = found.size or (0, 0)
    where = f"; networks on {found.device}" if found.device else ""
    lines = [
        f"plan: {_videos(found)}, {found.frames} frames, {width}x{height}{where}",
        *map(_line, found.parts),
    ]
    if found.unknown:
        lines.append(f"not estimated: {', '.join(found.unknown)}")
    if any(part.loading is None for part in found.parts if part.seconds is not None):
        lines.append("not estimated: reading weights that are not on this machine")
    if found.device not in ("", "cpu"):
        lines.append("networks are taken to use this device as well as they use a CPU")
    time = duration(found.seconds)
    if found.longest > 1.05 * found.seconds:
        time += f" (up to {duration(found.longest)} if nothing in the videos moves)"
    return "\n".join([*lines, f"estimate: {time}; {_memory(found.memory, found.device_memory)}"])


def measured(costs: Costs, found: Estimate | None) -> str:
    """What work cost, beside what was foretold."""
    said = "" if found is None else f" (estimate: {duration(found.seconds)}"
    if found is not None:
        said += f"; {_memory(found.memory, found.device_memory)})"
    memory = _memory(costs.memory, costs.device_memory)
    return f"took {duration(costs.seconds)}; {memory}{said}"


def duration(seconds: float) -> str:
    """A time span, to about two digits."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _videos(found: Estimate) -> str:
    return f"{found.videos} video{'s' if found.videos > 1 else ''}"


def _line(part: Part) -> str:
    sees = f"{part.seen} frames"
    if part.each > 1:
        sees += f", {part.items} x {part.each}"
    weights = f"{part.weights / 1e6:.0f} MB" if part.weights else ""
    time = "?" if part.seconds is None else duration(part.seconds + (part.loading or 0.0))
    return f"  {part.name:22}{sees:22}{weights:>8}{time:>9}  {', '.join(part.dimensions)}"


def _memory(process: int, device: int) -> str:
    told = f"memory {process / 1e9:.1f} GB" if process else "memory unknown"
    return f"{told}, {device / 1e9:.1f} GB on the device" if device else told
