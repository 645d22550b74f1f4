"""GRiT as a backbone: frames to detections with names, and with captions where they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import cv2
import torch
from torch import Tensor

from vbench_long.dimensions.backbones.base import (
    Compute,
    compiled,
    computing,
    frames_TCHW,
    not_finite,
    resized,
)
from vbench_long.dimensions.backbones.grit.heads import Things, picture_numbers, pooled
from vbench_long.dimensions.backbones.grit.network import GritShape, load
from vbench_long.dimensions.backbones.grit.text import Memory
from vbench_long.dimensions.backbones.wordpiece import sentence, vocabulary
from vbench_long.dimensions.base import Feature
from vbench_long.dimensions.detections import Detection, as_feature, seen_size
from vbench_long.video import Frame
from vbench_long.weights.base import Weights

CAPTIONS = "captions"
"""The view of those who read captions; all others read names."""

Picture = tuple[Frame, str]
"""A frame, and the view it was shrunk for; the same for all views where it was not."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What frames are taken to hold before anybody looked.

    Attributes:
        things: found in a frame.
        name: words of a name, the end among them.
        caption: words of a caption, the end among them.
    """

    things: int = 10
    name: int = 3
    caption: int = 10


class Grit:
    """Items (frame,) -> the things in it: view "objects" names them, "captions" describes them too.

    Both views share everything up to the boxes' tokens, unless the frame is shrunk: the published
    program shrinks frames in two ways, and so does this. Boxes are in pixels of the shrunk frame.

    The feature is what `detections.as_feature` makes, best box first. In float32 whatever is asked:
    a score next to its threshold decides whether a thing is there at all.

    Source: Wu et al., "GRiT: A Generative Region-to-text Transformer for Object Understanding",
    ECCV 2024; checkpoint grit_b_densecap_objectdet.pth. The published program finds everything
    twice, encodes a box again for every word, and makes masks nobody reads; the words are the same.

    Attributes:
        batch: most items of one call; even, so that both views of a frame come together.
        efficiency: see `TorchBackbone`.
        rounds: see `TorchBackbone`.
        expected: what an estimate of time takes for granted.
    """

    efficiency: ClassVar[float] = 0.59
    rounds: ClassVar[bool] = False
    expected: Expected = Expected()
    shape: ClassVar[GritShape] = GritShape()
    checkpoint: ClassVar[str] = "grit_b"

    def __init__(self, weights: Weights, compute: Compute) -> None:
        on_cpu = compute.device.type == "cpu"
        self.compute = compute
        self.batch = 8 if on_cpu else 32
        self.pictures_at_once = 1 if on_cpu else 16
        self.boxes_at_once = 32 if on_cpu else 256
        self.net = load(self.shape, weights, self.checkpoint).to(compute.device)
        self.net.pyramid = compiled(self.net.pyramid, compute)
        self.vocabulary = vocabulary(weights)

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """Names and captions of the things in every frame; see `look`."""
        return self.look(items, [CAPTIONS] * len(items))

    def look(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> list[Feature]:
        """The things in the frame of every item, of the view named for it.

        Raises:
            VideoError: what is seen is no finite number.
        """
        asked = [_picture(frame, view) for (frame,), view in zip(items, views, strict=True)]
        captioned = {p for p, view in zip(asked, views, strict=True) if view == CAPTIONS}
        pictures = list(dict.fromkeys(asked))
        with computing(self.compute):
            things, squares_NCSS = self._see(pictures)
            counts = [len(one.scores) for one in things]
            wanted = [
                p in captioned for p, n in zip(pictures, counts, strict=True) for _ in range(n)
            ]
            names, captions = self._say(squares_NCSS, wanted)
            boxes = [tuple(box) for one in things for box in one.boxes.int().tolist()]
            scores = [score for one in things for score in one.scores.tolist()]
        found = map(Detection, boxes, scores, names, captions)
        seen = {p: list(islice(found, n)) for p, n in zip(pictures, counts, strict=True)}
        return [
            as_feature(seen[p] if view == CAPTIONS else _uncaptioned(seen[p]))
            for p, view in zip(asked, views, strict=True)
        ]

    def expect_most(self) -> None:
        """As many things and words as the rules allow."""
        words = self.shape.text.longest - 1
        self.expected = Expected(self.shape.cascade.kept, words, words)

    def rehearse(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> object:
        """What `look` does, on tensors without numbers, if frames are as `expected`.

        Cutting boxes out and choosing among them is left out; that is no arithmetic to speak of.
        """
        asked = [_picture(frame, view) for (frame,), view in zip(items, views, strict=True)]
        pictures, channels = list(dict.fromkeys(asked)), self.shape.encoder.channels
        cascade, text = self.net.cascade, self.net.text
        for start in range(0, len(pictures), self.pictures_at_once):
            some = pictures[start : start + self.pictures_at_once]
            maps = self.net.maps(torch.cat([prepare(p, self.compute.device) for p in some]))
            self.net.centres(maps)
            proposed, side = len(some) * self.shape.rules.kept, self.shape.cascade.pooled
            squares_NCSS = maps[0].new_zeros(proposed, channels, side, side)
            for head, predictor in zip(cascade.heads, cascade.predictors, strict=True):
                predictor(head(squares_NCSS))
        left, side = len(pictures) * self.expected.things, self.shape.text.pooled
        while left > 0:
            count = min(left, self.boxes_at_once)
            memory = text.encode(maps[0].new_zeros(count, channels, side, side))
            word_N = torch.zeros(count, dtype=torch.long, device=self.compute.device)
            for words in (self.expected.name, self.expected.caption * (CAPTIONS in views)):
                for position in range(words):
                    text.next_word(memory, word_N, position)
            left -= count
        return maps

    def _see(self, pictures: Sequence[Picture]) -> tuple[list[Things], Tensor]:
        """The things in every picture, and what lies in all their boxes (N, C, side, side)."""
        things: list[Things] = []
        squares = []
        for start in range(0, len(pictures), self.pictures_at_once):
            some = pictures[start : start + self.pictures_at_once]
            images_BCHW = torch.cat([prepare(picture, self.compute.device) for picture in some])
            maps = self.net.maps(images_BCHW)
            if not all(map_BChw.isfinite().all() for map_BChw in maps):
                raise not_finite(self, some[0][0])
            found = self.net.things(maps, (images_BCHW.shape[2], images_BCHW.shape[3]))
            boxes_N4 = torch.cat([one.boxes for one in found])
            picture_N = picture_numbers([len(one.scores) for one in found], boxes_N4.device)
            squares.append(pooled(maps, boxes_N4, picture_N, self.shape.text.pooled))
            things += found
        return things, torch.cat(squares)

    def _say(self, squares_NCSS: Tensor, captioned: Sequence[bool]) -> tuple[list[str], list[str]]:
        """The name of what lies in every box, and a caption of those that are to have one."""
        names: list[str] = []
        captions: list[str] = []
        captioned_N = torch.tensor(captioned, dtype=torch.bool, device=squares_NCSS.device)
        for start in range(0, len(captioned), self.boxes_at_once):
            some = slice(start, start + self.boxes_at_once)
            memory = self.net.text.encode(squares_NCSS[some])
            names += self._sentences(memory, self.shape.name)
            (asked_K,) = torch.where(captioned_N[some])
            said = iter(self._sentences(memory.of(asked_K), self.shape.caption))
            captions += [next(said) if wanted else "" for wanted in captioned[some]]
        return names, captions

    def _sentences(self, memory: Memory, begin: int) -> list[str]:
        said = self.net.text.say(memory, begin)
        return [sentence(one.words, self.vocabulary) for one in said]


def prepare(picture: Picture, device: torch.device) -> Tensor:
    """The picture as float32 in 0..255: (1, 3, H, W).

    Views shrink as the dimensions of the published program do: "captions" by OpenCV, which skips
    pixels, the others by torchvision, which averages them.
    """
    frame, view = picture
    if not view:
        return frames_TCHW([frame], device).float()
    height, width = seen_size(*frame.rgb.shape[:2])
    if view != CAPTIONS:
        return resized(frames_TCHW([frame], device), (height, width), "bilinear", antialias=True)
    rgb = cv2.resize(frame.rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].to(device).float()


def _picture(frame: Frame, view: str) -> Picture:
    height, width = frame.rgb.shape[:2]
    return frame, "" if seen_size(height, width) == (height, width) else view


def _uncaptioned(detections: Sequence[Detection]) -> list[Detection]:
    return [detection._replace(caption="") for detection in detections]
