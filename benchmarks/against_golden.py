"""GRiT and Tag2Text against kept outputs of the published networks, at full size.

Their originals do not run on current libraries (GRiT's needs detectron2, which has to be compiled;
Tag2Text's fairscale, and its captions a `generate` of transformers 4.33). What they made of some
pictures under made-up weights is kept in `tests/golden`, with the recipe of each:

    python benchmarks/against_golden.py       # one to three minutes on two cores, 4 GB
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from vbench_tables import table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from grit_cases import CPU, Eager, cells
from semantic_cases import GOLDEN, coarse, frames, singles, tag2text_weights

from vbench_long.dimensions.backbones.base import computing
from vbench_long.dimensions.backbones.grit import Grit
from vbench_long.dimensions.backbones.grit.heads import pooled
from vbench_long.dimensions.backbones.tag2text import Tag2Text

GRIT_PICTURE = (7, 200, 312, 16)
NAMED = "object_class, multiple_objects, spatial_relationship"


def furthest(got: Sequence[float] | np.ndarray, kept: Sequence[float]) -> str:
    """The largest difference."""
    return f"{np.abs(np.asarray(got) - np.asarray(kept)).max():.1e}"


def alike(got: Sequence[object], kept: Sequence[object]) -> str:
    """How many are equal."""
    return f"{sum(a == b for a, b in zip(got, kept, strict=True))} of {len(kept)} equal"


def grit() -> list[list[str]]:
    """Rows about a picture in which four things are seen."""
    kept = json.loads((Path(__file__).resolve().parents[1] / "tests/golden/grit.json").read_text())
    things = kept["things"]
    network = Grit(Eager(), CPU)
    rgb_CHW = torch.from_numpy(cells(*GRIT_PICTURE)).permute(2, 0, 1)
    started = perf_counter()
    with computing(CPU):
        maps = network.net.maps(rgb_CHW[None].float())
        (found,) = network.net.things(maps, GRIT_PICTURE[1:3])
        where_N = torch.zeros(len(found.boxes), dtype=torch.long)
        memory = network.net.text.encode(pooled(maps, found.boxes, where_N, 14))
        names, captions = (network.net.text.say(memory, begin) for begin in (101, 104))
    seconds = f"{perf_counter() - started:.1f}"
    # Two boxes whose scores are equal up to noise may swap.
    order = [
        min(range(len(things["boxes"])), key=lambda i, box=box: furthest_box(box, things, i))
        for box in found.boxes.tolist()
    ]

    def reordered(name: str) -> list[object]:
        return [things[name][i] for i in order]

    spoken = [one.logprob for one in captions]
    return [
        [f"{NAMED}, color", "boxes, pixels", furthest(found.boxes, reordered("boxes")), seconds],
        ["", "scores of boxes", furthest(found.scores, reordered("scores")), ""],
        [NAMED, "names", alike([list(s.words) for s in names], reordered("names")), ""],
        ["color", "captions", alike([list(s.words) for s in captions], reordered("captions")), ""],
        ["", "log-probabilities", furthest(spoken, reordered("logprobs")), ""],
    ]


def furthest_box(box: Sequence[float], things: dict[str, list[list[float]]], index: int) -> float:
    """How far a box is from a kept one."""
    return float(np.abs(np.asarray(box) - things["boxes"][index]).max())


def tag2text() -> list[list[str]]:
    """Rows about the three pictures that the published program captions of seven."""
    kept = GOLDEN["full"]["tag2text"]
    network = Tag2Text(tag2text_weights({int(tag): n for tag, n in kept["names"].items()}), CPU)
    images = coarse(20240, 7, 384, 384)[:3]
    started = perf_counter()
    with computing(CPU):
        pictures = torch.stack([network.prepare(frame) for frame in frames(images)])
        tags = network.tags(network.net.tag_logits(network.net.image(pictures)))
        ids = network.features(singles(images))
    spoken = [np.trim_zeros(row.numpy(), "b").tolist() for row in ids]
    seconds = f"{perf_counter() - started:.1f}"
    captions = [spoken[j // 3] for j in range(7)]
    return [
        ["scene", "tags of three pictures", alike(tags, kept["tags"][:3]), seconds],
        ["", "captions, words", alike(captions, kept["captions"]), ""],
    ]


def main() -> None:
    rows = [*grit(), *tag2text()]
    print(table(["against kept outputs of the published network", "what", "difference", "s"], rows))


if __name__ == "__main__":
    main()
