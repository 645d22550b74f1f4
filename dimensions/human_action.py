"""Human action: do people do what was asked for?"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.evidence import Evidence, Frames, Ranking
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.video import Clip

FRAMES = 16
BEST = 5
THRESHOLD = 0.85


class HumanAction(Dimension):
    """Whether a network recognises the action of the prompt: 1 or 0.

    The action is what stands behind "person is " in the prompt, or what the auxiliary information
    gives as ``{"human_action": {"action": ...}}``. It is recognised if it is among the five of 400
    actions that sixteen frames of the clip resemble most, and its probability is at least 0.85.

    Source: VBench (Huang et al., CVPR 2024); the network is UMT on Kinetics-400. What the published
    program does otherwise than its paper, each kept by default and mended by strict rules:

    * Probabilities are rounded to four digits first, so that 0.84995 is enough.
    * The prompt is cut at its first "-" and "_", so that "a person is hand-washing" asks for the
      action "hand". No official prompt has either.

    Kept on both: each probability is a sigmoid of its own, though the network was trained to share
    one among all actions. So several actions may pass at once, which is why there are five. Not
    kept: an action that is none of the 400 has no score and a reason, not a silent 0.
    """

    name = "human_action"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {"reference": {"clip": "umt_l16"}}

    def lacks(self, told: Told) -> str:
        """One of the 400 actions."""
        action = self._action(told)
        known = action in actions()
        return "" if known else f"'{action[:60]}' is none of the actions of Kinetics-400"

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Sixteen frames together."""
        return {"clip": [middle_frames(clip, FRAMES)]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: 400 logits."""
        action = self._action(video)
        (logits,) = features["clip"]
        # Logits are compared, not probabilities: several of those may be 1 to the last digit.
        rank = int((logits > logits[actions()[action]]).sum())
        probability = _sigmoid(logits[actions()[action]])
        judged = probability if self.rules == "strict" else round(probability, 4)
        right = rank < BEST and judged >= THRESHOLD
        return ClipScore(float(right), {"probability": probability, "rank": rank + 1})

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The five likeliest actions, and the one of the prompt."""
        action = self._action(video)
        (logits,) = features["clip"]
        together = middle_frames(clip, FRAMES)
        names = {place: name for name, place in actions().items()}
        best = sorted(range(len(logits)), key=lambda place: -float(logits[place]))[:BEST]
        entries = tuple((names[place], _sigmoid(logits[place])) for place in best)
        probability = _sigmoid(logits[actions()[action]])
        rank = int((logits > logits[actions()[action]]).sum()) + 1
        said = f"'{action}' comes {rank} of {len(logits)}, at {probability:.4f}."
        ranking = Ranking("Likeliest actions", together, entries, action, THRESHOLD)
        return Evidence(action, said, Frames((together,), (probability,)), (ranking,))

    def _action(self, told: Told) -> str:
        given = told.auxiliary_text("human_action", "action").lower()
        return given or action_of(told.prompt, cut=self.rules == "parity")


def _sigmoid(logit: float) -> float:
    return (1 + math.tanh(float(logit) / 2)) / 2


def action_of(prompt: str, cut: bool) -> str:
    """The action a prompt asks for, lower case; `cut` at the first "-" and "_", as published."""
    text = prompt.lower()
    if not cut:
        return text.rpartition("person is ")[2].strip(" .")
    return text.partition("-")[0].rpartition("person is ")[2].partition("_")[0]


@cache
def actions() -> Mapping[str, int]:
    """The 400 actions, lower case, and the position of each in the network's output.

    The names are Kinetics', and come with torchvision; the network has an order of its own.
    """
    from torchvision.models.video import R3D_18_Weights  # type: ignore[import-untyped]

    names = R3D_18_Weights.KINETICS400_V1.meta["categories"]
    table = files("vbench_long.dimensions") / "tables" / "kinetics_order.csv"
    with table.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {names[int(row["torchvision"])].lower(): int(row["umt"]) for row in rows}
