"""GRiT as one network: pictures to things, things to words."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import strict_load
from vbench_long.dimensions.backbones.grit import heads, proposals, text, vitdet
from vbench_long.dimensions.backbones.grit.heads import Cascade, CascadeShape, Things
from vbench_long.dimensions.backbones.grit.proposals import CenterNetHead, ProposalRules, propose
from vbench_long.dimensions.backbones.grit.text import TextDecoder, TextShape
from vbench_long.dimensions.backbones.grit.vitdet import STRIDES, EncoderShape, Pyramid
from vbench_long.errors import EnvironmentFault
from vbench_long.weights.base import Weights

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of the channels red, green and blue in 0..255."""


@dataclass(frozen=True, slots=True)
class GritShape:
    """Everything that makes the network the one it is; the published one by default.

    Attributes:
        encoder: what sees.
        rules: which proposals are kept.
        cascade: what makes sure.
        text: what speaks.
        name: word that begins the name of a thing.
        caption: word that begins a sentence about it.
    """

    encoder: EncoderShape = field(default_factory=EncoderShape)
    rules: ProposalRules = field(default_factory=ProposalRules)
    cascade: CascadeShape = field(default_factory=CascadeShape)
    text: TextShape = field(default_factory=TextShape)
    name: int = 101
    caption: int = 104


class GritNetwork(nn.Module):
    """The network; `published_key` tells what its parts are called in the checkpoint."""

    def __init__(self, shape: GritShape) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.encoder.channels
        self.pyramid = Pyramid(shape.encoder)
        self.centres = CenterNetHead(channels, len(STRIDES))
        self.cascade = Cascade(channels, shape.cascade)
        self.text = TextDecoder(channels, shape.text)

    def maps(self, images_BCHW: Tensor) -> list[Tensor]:
        """What is seen in pictures of 0..255: maps (B, C, h, w) with `STRIDES`."""
        mean_3HW, std_3HW = (images_BCHW.new_tensor(v)[:, None, None] for v in (MEAN, STD))
        standard_BCHW = (images_BCHW - mean_3HW) / std_3HW
        height, width = images_BCHW.shape[-2:]
        maps: list[Tensor] = self.pyramid(F.pad(standard_BCHW, (0, -width % 32, 0, -height % 32)))
        return maps

    def things(self, maps: list[Tensor], size: tuple[int, int]) -> list[Things]:
        """The things in every picture, whose height and width are `size`."""
        found = self.centres(maps)
        proposed = [
            propose([(logits[b], distances[b]) for logits, distances in found], self.shape.rules)
            for b in range(len(maps[0]))
        ]
        things: list[Things] = self.cascade(maps, proposed, size)
        return things


_ROOMS = {
    "pyramid": ("backbone.", vitdet.PUBLISHED_NAMES),
    "centres": ("proposal_generator.centernet_head.", proposals.PUBLISHED_NAMES),
    "cascade": ("roi_heads.", heads.PUBLISHED_NAMES),
    "text": ("roi_heads.text_decoder.textual.", text.PUBLISHED_NAMES),
}


def published_key(key: str) -> str:
    """Key of the network's state dict -> key of the published checkpoint."""
    part, _, rest = key.partition(".")
    room, names = _ROOMS[part]
    for ours, theirs in names:
        rest = rest.replace(ours, theirs)
    return room + rest


IGNORED = (
    r"roi_heads\.mask_head\..+",
    r"roi_heads\.text_decoder_det\..+",
    "pixel_mean",
    "pixel_std",
)
"""Published keys of parts that say nothing here: masks nobody reads, a second name of the decoder,
constants."""


def load(shape: GritShape, weights: Weights, name: str) -> GritNetwork:
    """The network with the tensors of checkpoint `name`.

    Raises:
        EnvironmentFault: the checkpoint is absent, or does not fit the network exactly.
    """
    with torch.device("meta"):
        net = GritNetwork(shape)
    net = strict_load(net, weights, name, published_key, IGNORED)
    # One matrix both reads and says words; the checkpoint has it under two names.
    if not weights.untrained and not torch.equal(net.text.output.weight, net.text.words.weight):
        raise EnvironmentFault(
            "the words that are said are not the words that are read", name, "get it again"
        )
    net.text.output.weight = net.text.words.weight
    return net
