"""GRiT beside the published program's way of doing the same work, with the same layers.

    python benchmarks/grit.py                              # CPU time on one thread
    python benchmarks/grit.py --device cuda --size 1280x720

The published program finds the things in a frame once for every sentence, and encodes a box again
for every word of it, all boxes for as long as the longest sentence lasts. Here its loops run on
this package's own layers, so that only the order of the work differs; the masks it makes and
nobody reads are left out. Weights are seeded, with changes that make some boxes; the numbers of
boxes and of words are set. Both ways must find the same boxes and say the same words. The fastest
of a few turns counts, of the published way the only one. The floor is the work that is left, in
products and convolutions, at the rate of one large product beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter, process_time
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute, computing
from vbench_long.dimensions.backbones.grit import Grit
from vbench_long.dimensions.backbones.grit.heads import (
    CascadeShape,
    Things,
    picture_numbers,
    pooled,
)
from vbench_long.dimensions.backbones.grit.network import GritShape
from vbench_long.dimensions.backbones.grit.text import NEVER, Memory, TextDecoder
from vbench_long.dimensions.backbones.rehearsal import flop_counter
from vbench_long.dimensions.backbones.wordpiece import sentence
from vbench_long.dimensions.detections import Detection, detections
from vbench_long.evaluation import probes
from vbench_long.video import Frame, Image
from vbench_long.weights.seeded import SeededWeights

T, U = TypeVar("T"), TypeVar("U")
NAME, CAPTION = 101, 104
"""What begins a sentence, and so names the task."""


class Busy(SeededWeights):
    """Seeded weights with which there are things, and sentences do not end by themselves."""

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """The tensors of checkpoint `name`; see `Weights.load`."""
        tensors = super().load(name, wanted, ignored)
        head = "proposal_generator.centernet_head"
        for level in range(5):
            tensors[f"{head}.scales.{level}.scale"].fill_(1.0)
        tensors[f"{head}.bbox_pred.weight"].mul_(3.0)
        tensors[f"{head}.bbox_pred.bias"].fill_(3.0)
        tensors["roi_heads.text_decoder.textual.output.bias"][102] = NEVER
        return tensors


class Set(Grit):
    """GRiT with a set number of boxes, and of words of each kind of sentence."""

    words: ClassVar[dict[int, int]] = {}

    def _sentences(self, memory: Memory, begin: int) -> list[str]:
        self.net.text.shape = replace(self.shape.text, longest=self.words[begin] + 1)
        said = super()._sentences(memory, begin)
        self.net.text.shape = self.shape.text
        return said


def published_words(decoder: TextDecoder, squares_NCSS: Tensor, begin: int, steps: int) -> Tensor:
    """Words (N, steps) by encoding boxes and all words so far anew for every word."""
    boxes_NLD = decoder.boxes_norm(decoder.boxes(squares_NCSS.flatten(2).transpose(1, 2)))
    count, tokens = boxes_NLD.shape[:2]
    said_NS = torch.full((count, 1), begin, device=boxes_NLD.device)
    for step in range(steps):
        words_NSD = decoder.words(said_NS) + decoder.positions.weight[: said_NS.shape[1]]
        x_NLD = torch.cat([boxes_NLD, decoder.words_norm(words_NSD)], 1)
        length = x_NLD.shape[1]
        seen_LL = torch.ones(length, length, dtype=torch.bool, device=x_NLD.device).tril()
        seen_LL[:, :tokens] = True
        for layer in decoder.layers:
            x_NLD = published_layer(layer, x_NLD, seen_LL)
        logits_NV = decoder.output(x_NLD[:, -1])
        if step:
            logits_NV.scatter_(1, said_NS[:, -1:], NEVER)
        said_NS = torch.cat([said_NS, logits_NV.argmax(1, keepdim=True)], 1)
    return said_NS[:, 1:]


def published_layer(layer: torch.nn.Module, x_NLD: Tensor, seen_LL: Tensor) -> Tensor:
    """One layer on all tokens, with a mask of who sees whom."""
    part = layer.attention
    count, length, width = x_NLD.shape
    q_NALE, k_NALE, v_NALE = (
        project(x_NLD).view(count, length, part.heads, width // part.heads).transpose(1, 2)
        for project in (part.query, part.key, part.value)
    )
    attended_NALE = F.scaled_dot_product_attention(q_NALE, k_NALE, v_NALE, seen_LL)
    x_NLD = layer.norm1(x_NLD + part.out(attended_NALE.transpose(1, 2).flatten(2)))
    out_NLD: Tensor = layer.norm2(x_NLD + layer.fc2(F.gelu(layer.fc1(x_NLD))))
    return out_NLD


def published_frame(grit: Set, rgb: Image, tasks: Sequence[int]) -> list[list[str]]:
    """Per task what is said of every box; for each, everything is found again."""
    maps = grit.net.maps(pixels(rgb, grit.compute.device))
    said = []
    for task in tasks:
        (things,) = grit.net.things(maps, (rgb.shape[0], rgb.shape[1]))
        words_NS = published_words(grit.net.text, squares_of(maps, things), task, grit.words[task])
        said.append([sentence(words, grit.vocabulary) for words in words_NS.tolist()])
    return said


def pixels(rgb: Image, device: torch.device) -> Tensor:
    """A picture in 0..255: (1, 3, H, W)."""
    return torch.from_numpy(rgb.copy()).to(device).permute(2, 0, 1)[None].float()


def squares_of(maps: list[Tensor], things: Things) -> Tensor:
    """What lies in the boxes of one picture."""
    picture_N = picture_numbers([len(things.scores)], things.boxes.device)
    return pooled(maps, things.boxes, picture_N, 14)


def fastest(action: Callable[[], T], device: torch.device, turns: int) -> tuple[float, T]:
    """Seconds of the fastest turn, and what it gave; CPU time on a CPU, wall time elsewhere."""
    clock, spent = clock_of(device), []
    for _ in range(turns):
        started = clock()
        given = action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(clock() - started)
    return min(spent), given


def clock_of(device: torch.device) -> Callable[[], float]:
    """CPU time on a CPU, wall time elsewhere."""
    return process_time if device.type == "cpu" else perf_counter


def compare_words(grit: Set, rgb: Image, measure: Callable[..., Any]) -> None:
    """What is said of boxes that are known; the published program speaks twice, always."""
    maps = grit.net.maps(pixels(rgb, grit.compute.device))
    (things,) = grit.net.things(maps, (rgb.shape[0], rgb.shape[1]))
    squares_NCSS = squares_of(maps, things)
    text, count = grit.net.text, len(squares_NCSS)

    def anew(tasks: Sequence[int]) -> list[list[str]]:
        words = [published_words(text, squares_NCSS, t, grit.words[t]).tolist() for t in tasks]
        return [[sentence(one, grit.vocabulary) for one in some] for some in words]

    def once(tasks: Sequence[int]) -> list[list[str]]:
        memory = text.encode(squares_NCSS)
        return [grit._sentences(memory, task) for task in tasks]

    for what, published, tasks in (
        ("object_class", [NAME, NAME], [NAME]),
        ("color", [CAPTION, NAME], [CAPTION, NAME]),
    ):
        said, words = measure(
            f"text per box: {what}", partial(anew, published), partial(once, tasks), count
        )
        assert said[-len(tasks) :] == words


def compare_frames(grit: Set, rgb: Image, measure: Callable[..., Any]) -> None:
    """From pixels to words."""

    def anew(passes: Sequence[Sequence[int]]) -> list[list[list[str]]]:
        return [published_frame(grit, rgb, tasks) for tasks in passes]

    def once(views: Sequence[str]) -> list[list[Detection]]:
        item = (Frame(0, rgb),)  # Nothing is on the device yet.
        return [detections(feature) for feature in grit.look([item] * len(views), views)]

    names, both = [NAME, NAME], [CAPTION, NAME]
    for what, passes, views in (
        ("object_class", [names], ["objects"]),
        ("color", [both], ["captions"]),
        ("all four dimensions", [names, names, names, both], ["objects", "captions"]),
    ):
        said, found = measure(f"frame: {what}", partial(anew, passes), partial(once, views), 1)
        assert [one.name for one in found[-1]] == said[-1][1]
        assert "captions" not in views or [one.caption for one in found[-1]] == said[-1][0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default=best)
    parser.add_argument("--size", default="832x480", help="of the frame")
    parser.add_argument("--boxes", type=int, default=10, help="in the frame")
    parser.add_argument("--words", default="3,10", help="of a name and of a caption")
    parser.add_argument("--turns", type=int, default=3, help="of which the fastest counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    width, height = map(int, options.size.split("x"))
    device = torch.device(options.device)
    cells = np.random.default_rng(0).integers(0, 256, (height // 32 + 1, width // 32 + 1, 3))
    rgb = np.kron(cells, np.ones((32, 32, 1))).astype(np.uint8)[:height, :width]

    Set.shape = GritShape(cascade=CascadeShape(score=0.0, kept=options.boxes))
    Set.words = dict(zip((NAME, CAPTION), map(int, options.words.split(",")), strict=True))
    grit = Set(Busy(), Compute(device))
    unit = "CPU s" if device.type == "cpu" else "s"
    print(
        f"{options.boxes} boxes in {options.size}, names of {Set.words[NAME]} words, captions of"
        f" {Set.words[CAPTION]}, {device.type}, {torch.get_num_threads()} thread\n\n"
        f"{unit:32}{'published way':>15}{'this way':>10}{'times':>8}{'GFLOP':>9}{'floor':>8}"
        f"{'of floor':>10}"
    )
    with patch.object(probes, "perf_counter", clock_of(device)):
        rate = probes.product_rate(device, "fp32")

    def measure(what: str, anew: Callable[[], T], once: Callable[[], U], by: int) -> tuple[T, U]:
        published, said = fastest(anew, device, 1)
        ours, told = fastest(once, device, options.turns)
        with flop_counter() as work:
            once()
        flop = work.get_total_flops()
        floor = flop / rate
        print(
            f"{what:32}{published / by:15.3f}{ours / by:10.3f}{published / ours:8.1f}"
            f"{flop / by / 1e9:9.1f}{floor / by:8.3f}{floor / ours:10.2f}",
            flush=True,
        )
        return said, told

    with computing(grit.compute):
        compare_words(grit, rgb, measure)
        compare_frames(grit, rgb, measure)


if __name__ == "__main__":
    main()
