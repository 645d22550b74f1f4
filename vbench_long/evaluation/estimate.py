"""What a run is about to do, and what that will cost, told before it begins.

Nothing here knows a machine's seconds. Work of networks is counted, in floating point operations,
by letting their own code run on tensors without numbers; the machine's speed at one large product
is measured on the spot; the share of it that a network reaches is its own to tell. Operators
without weights, decoding and files are tried for a moment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal

from vbench_long.dimensions import BACKBONES, Dimension, VideoFacts
from vbench_long.dimensions.base import backbone_and_view, checkpoints_of
from vbench_long.errors import VideoError
from vbench_long.evaluation import probes
from vbench_long.evaluation.costs import peak_memory, resident_memory
from vbench_long.evaluation.networks import Networks, shared_checkpoints
from vbench_long.evaluation.plan import Ask, VideoPlan, plan_video
from vbench_long.evaluation.stream import AHEAD
from vbench_long.video import Frame, Scene, VideoInfo, clip_rate

Size = tuple[int, int]
"""Height and width of frames."""

_TRIED = 8
"""Frames that operators without weights are tried on."""

_DECODED_BYTES, _UPLOADED_BYTES = 4.5, 3
"""Of a pixel: as RGB and as decoded; and once more as a network looks at it."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """A video that is to be judged.

    Attributes:
        facts: of the video.
        frames: it has.
        clip_seconds: length of its clips.
        dimensions: that judge it.
        info: the file; None if it is yet to be made.
    """

    facts: VideoFacts
    frames: int
    clip_seconds: float
    dimensions: tuple[Dimension, ...]
    info: VideoInfo | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one backbone will do.

    Attributes:
        name: of the backbone.
        dimensions: it works for.
        seen: frames it sees.
        items: it computes.
        each: frames of an item.
        most: items if no clip is settled before its end.
        seconds: it takes for `items`; None where that is not known.
        loading: seconds until it is there; None where that is not known.
        weights: bytes they take.
        passing: most bytes a call takes besides.
        kept: bytes it leaves with each frame it saw.
    """

    name: str
    dimensions: tuple[str, ...]
    seen: int
    items: int
    each: int
    most: int
    seconds: float | None = None
    loading: float | None = None
    weights: int = 0
    passing: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is about to do.

    Attributes:
        videos: that are to be judged.
        frames: of all of them.
        size: of the frames of the first, (height, width); None where nothing is known of them.
        device: where networks run; empty if there is none among the backbones.
        rate: floating point operations a second of one large product there.
        parts: the backbones, in the order in which dimensions name them.
        decoding: seconds to decode all videos, and to encode clips where that is asked.
        memory: bytes the process will have had at most; 0 where nothing is known.
        device_memory: bytes on the accelerator; 0 without one.
    """

    videos: int
    frames: int
    size: Size | None = None
    device: str = ""
    rate: float = 0.0
    parts: tuple[Part, ...] = ()
    decoding: float = 0.0
    memory: int = 0
    device_memory: int = 0

    @property
    def seconds(self) -> float:
        """Of everything whose time is known."""
        return self.decoding + sum((p.seconds or 0.0) + (p.loading or 0.0) for p in self.parts)

    @property
    def longest(self) -> float:
        """As `seconds`, if no clip is settled before its end."""
        more = ((p.seconds or 0.0) * (p.most / p.items - 1) for p in self.parts if p.items)
        return self.seconds + sum(more)

    @property
    def unknown(self) -> list[str]:
        """Names of the backbones that are not in `seconds`."""
        return [part.name for part in self.parts if part.seconds is None]


@dataclass(slots=True)
class _Use:
    """What is asked of one backbone."""

    each: int = 1
    views: set[str] = field(default_factory=set)
    dimensions: dict[str, None] = field(default_factory=dict)
    seen: int = 0
    items: Counter[Size] = field(default_factory=Counter)
    most: int = 0


def estimate(
    ahead: Sequence[Ahead], videos: int, networks: Networks, encoded: bool = False
) -> Estimate:
    """What judging will do and cost.

    Args:
        ahead: videos that stand for all.
        videos: how many there are in all.
        networks: how networks run.
        encoded: whether clips go through the published encode first.

    Raises:
        EnvironmentFault, UsageError: `networks` asks for a device that is not here.
    """
    plans = [
        plan_video(v.facts, [Scene(0, v.frames)], v.clip_seconds, v.dimensions, encoded)
        for v in ahead
    ]
    if not plans:
        return Estimate(videos, 0)
    times = videos / len(plans)
    uses = _uses(plans)
    sample, decoding = _looked_at(ahead, plans, encoded)
    parts = [_part(name, use, times) for name, use in uses.items()]
    parts = _tried(parts, uses, sample[:_TRIED], times)
    found = Estimate(
        videos,
        round(times * sum(plan.frames for plan in plans)),
        _size(plans[0]),
        parts=tuple(parts),
        decoding=decoding * times,
        memory=peak_memory(),
    )
    if not any(checkpoints_of(name) is not None for name in uses):
        return found
    device = networks.compute.device
    rate = probes.product_rate(device, "fp32")
    parts = _rehearsed(parts, uses, networks, rate, times)
    found = replace(found, device=device.type, rate=rate, parts=tuple(parts))
    frame = max(_held(plan, parts) for plan in plans)
    taken = sum(p.weights for p in parts) + max(p.passing for p in parts)
    if device.type == "cpu":
        return replace(found, memory=max(peak_memory(), resident_memory() + taken + frame))
    return replace(found, memory=resident_memory() + frame, device_memory=taken + frame)


def _uses(plans: Iterable[VideoPlan]) -> dict[str, _Use]:
    """What is asked of each backbone; what several dimensions ask is asked once."""
    uses: dict[str, _Use] = {}
    for plan in plans:
        most = _items(plan, lambda dimension, *clip: dimension.clip_items(*clip))
        likely = _items(plan, lambda dimension, *clip: dimension.expected_items(*clip))
        for dimension, _, key, _ in plan.requests():
            name, view = backbone_and_view(key)
            use = uses.setdefault(name, _Use())
            use.views.add(view)
            use.dimensions[dimension.name] = None
        for name, items in likely.items():
            use = uses[name]
            use.each = max([use.each, *map(len, items)])
            use.seen += len({index for item in items for index in item})
            use.items[_size(plan)] += len(items)
            use.most += len(most[name])
    return {name: use for name, use in uses.items() if use.most}


def _items(plan: VideoPlan, ask: Ask) -> dict[str, set[tuple[int, ...]]]:
    """Per backbone the different items of frames; texts, which cost less, are left out."""
    asked: dict[str, set[tuple[int, ...]]] = {}
    for _, _, key, items in plan.requests(ask):
        name, _ = backbone_and_view(key)
        asked.setdefault(name, set()).update(item for item in items if not isinstance(item, str))
    return asked


def _part(name: str, use: _Use, times: float) -> Part:
    return Part(
        name,
        tuple(use.dimensions),
        round(use.seen * times),
        round(use.items.total() * times),
        use.each,
        round(use.most * times),
    )


def _looked_at(
    ahead: Sequence[Ahead], plans: Sequence[VideoPlan], encoded: bool
) -> tuple[list[Frame], float]:
    """A few frames of the first video, and seconds to decode (and encode) all of `ahead`."""
    first = ahead[0]
    frames, each = probes.made_up_frames(*reversed(_size(plans[0]))), 0.0
    if first.info:
        with suppress(VideoError):  # It will fail when its turn comes, and say why.
            frames, each = probes.first_frames(first.info)
    pixels = sum(plan.frames * math.prod(_size(plan)) for plan in plans)
    pixels_seen = sum(p.clips()[-1].stop * math.prod(_size(p)) for p in plans) if encoded else 0
    per_frame = math.prod(_size(plans[0]))
    seconds = each * pixels / per_frame
    if encoded:
        with suppress(VideoError):
            encoding = probes.encode_seconds(frames, clip_rate(first.facts.fps))
            seconds += encoding * pixels_seen / per_frame
    return frames, seconds


def _tried(
    parts: Sequence[Part], uses: Mapping[str, _Use], frames: Sequence[Frame], times: float
) -> list[Part]:
    """With the time of operators without weights, in proportion to pixels."""
    kinds: dict[str, Any] = {part.name: BACKBONES.get(part.name) for part in parts}
    operators = {
        part.name: (kinds[part.name](), part.each)
        for part in parts
        if getattr(kinds[part.name], "weightless", False)
    }
    each = probes.operator_seconds(operators, frames)
    told = []
    for part in parts:
        if part.name in each:
            sizes = uses[part.name].items.items()
            pixels = times * sum(count * math.prod(size) for size, count in sizes)
            seconds = each[part.name] * pixels / frames[0].rgb[..., 0].size
            part = replace(part, seconds=seconds, loading=0.0)
        told.append(part)
    return told


def _rehearsed(
    parts: Sequence[Part],
    uses: Mapping[str, _Use],
    networks: Networks,
    rate: float,
    times: float,
) -> list[Part]:
    """With what is counted of networks."""
    from vbench_long.dimensions.backbones.rehearsal import Rehearsal

    weights: Literal["made up", "trained"] = "made up" if networks.untrained else "trained"
    rehearsal = Rehearsal(networks.compute, shared_checkpoints(), weights)
    reading = _reading_rate(networks, parts)
    rates: dict[str, float] = {"fp32": rate, networks.precision: rate}
    if networks.precision != "fp32":
        rates[networks.precision] = probes.product_rate(networks.compute.device, networks.precision)
    told = []
    for part in parts:
        costs = {
            size: rehearsal.cost(
                part.name, BACKBONES.get(part.name), size, part.each, sorted(uses[part.name].views)
            )
            for size in uses[part.name].items
            if checkpoints_of(part.name) is not None
        }
        known = {size: cost for size, cost in costs.items() if cost}
        if not known or len(known) < len(costs):
            told.append(part)
            continue
        seconds = sum(
            uses[part.name].items[size] * cost.flop / cost.efficiency / rates[cost.precision]
            for size, cost in known.items()
        )
        read = sum(cost.read for cost in known.values())
        told.append(
            replace(
                part,
                seconds=seconds * times,
                loading=read / reading if reading else None,
                weights=sum(cost.weights for cost in known.values()),
                passing=max(cost.passing for cost in known.values()),
                kept=max(cost.kept for cost in known.values()),
            )
        )
    return told


def _reading_rate(networks: Networks, parts: Iterable[Part]) -> float | None:
    """Bytes of weights a second; None if there are none on this machine."""
    if networks.untrained:
        return probes.seeded_bytes_per_second()
    names = [name for part in parts for name in checkpoints_of(part.name) or ()]
    return probes.bytes_per_second([found.path for found in networks.files(names)])


def _held(plan: VideoPlan, parts: Iterable[Part]) -> int:
    """Bytes of frames that live at a time, with what networks leave with them."""
    last: dict[int, int] = {}
    for items in _items(plan, lambda dimension, *clip: dimension.clip_items(*clip)).values():
        for item in items:
            for index in item:
                last[index] = max(last.get(index, 0), *item)
    alive = Counter[int]()
    for index, until in last.items():
        alive[index] += 1
        alive[until + 1] -= 1
    most = max(accumulate(alive[index] for index in range(plan.frames + 1)))
    pixels = math.prod(_size(plan))
    # Networks that look at frames as they are share a copy of it.
    uploaded = _UPLOADED_BYTES * pixels
    kept = sum(max(0, part.kept - uploaded) for part in parts)
    return round((most + AHEAD) * (_DECODED_BYTES * pixels + uploaded) + most * kept)


def _size(plan: VideoPlan) -> Size:
    return plan.facts.height, plan.facts.width
