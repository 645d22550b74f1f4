"""Tag2Text: what is in a frame, as tags, and from these a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache
from transformers.models.blip.configuration_blip import BlipTextConfig
from transformers.models.blip.modeling_blip_text import (
    BlipTextAttention,
    BlipTextIntermediate,
    BlipTextLMHeadModel,
    BlipTextModel,
    BlipTextOutput,
)

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    computing,
    not_finite,
    standardised,
    strict_load,
)
from vbench_long.dimensions.backbones.beam import BeamRules, beam_search
from vbench_long.dimensions.backbones.bert_words import WordPieces
from vbench_long.dimensions.backbones.dino import IMAGENET_MEAN, IMAGENET_STD
from vbench_long.dimensions.base import Feature
from vbench_long.video import Frame
from vbench_long.weights.base import Weights

TAGS = "tag2text_tags"
DECODE, ENCODE = 30522, 30523
"""Stand in the first place of a caption, and of a list of tags."""

PROMPT, PROMPT_IDS = "a picture of ", (DECODE, 1037, 3861, 1997)


@dataclass(frozen=True, slots=True)
class Tag2TextShape:
    """The network.

    Attributes:
        side: of a picture, pixels.
        embed: width of the first stage of the image tower; each further one has twice as much.
        depths: blocks of its stages.
        swin_heads: of their attention.
        window: side of the squares that attention stays in, patches.
        width: of a word, and of a tag.
        heads: of the attention of words.
        layers: of the tag encoder, and of the decoder.
        inner: width between a layer's last two products.
        words: in the vocabulary, `DECODE` and `ENCODE` included.
        tags: there are.
        tag_layers: that look for tags in a picture.
        tag_heads: of their attention.
    """

    side: int = 384
    embed: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    swin_heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 12
    width: int = 768
    heads: int = 12
    layers: int = 12
    inner: int = 3072
    words: int = ENCODE + 1
    tags: int = 3429
    tag_layers: int = 2
    tag_heads: int = 4

    @property
    def image_width(self) -> int:
        """Width of what the image tower gives."""
        return self.embed << len(self.depths) - 1

    def text(self, looks_at: int, heads: int = 0) -> BlipTextConfig:
        """The shape of layers of words (or tags) that look at tokens of width `looks_at`."""
        return BlipTextConfig(
            vocab_size=self.words,
            hidden_size=self.width,
            encoder_hidden_size=looks_at,
            num_attention_heads=heads or self.heads,
            num_hidden_layers=self.layers,
            intermediate_size=self.inner,
            max_position_embeddings=512,
            hidden_act="gelu",
            layer_norm_eps=1e-12,
            is_decoder=True,
        )


@dataclass(frozen=True, slots=True)
class Tagging:
    """Which tags are told, and how.

    Attributes:
        threshold: probability above which a tag is there.
        never: tags that are not told: quarter, two, three, four, five, one.
        length: tokens of the list of tags.
    """

    threshold: float = 0.7
    never: tuple[int, ...] = (127, 3351, 3265, 3338, 3355, 3359)
    length: int = 40


class TagLayer(nn.Module):
    """Tags look at the picture; their width stays."""

    def __init__(self, config: BlipTextConfig) -> None:
        super().__init__()
        self.crossattention = BlipTextAttention(config, is_cross_attention=True)
        self.intermediate = BlipTextIntermediate(config)
        self.output = BlipTextOutput(config)

    def forward(self, tags_BKD: Tensor, image_BLE: Tensor) -> Tensor:
        """Tags (B, K, D) and what they look at (B, L, E) -> tags (B, K, D)."""
        seen_BKD, _ = self.crossattention(tags_BKD, encoder_hidden_states=image_BLE)
        tags_BKD = self.output(self.intermediate(seen_BKD), seen_BKD)
        return tags_BKD


class TagScores(nn.Module):
    """One logit for each tag, from its own weights."""

    def __init__(self, tags: int, width: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(1, tags, width))
        self.b = nn.Parameter(torch.empty(1, tags))

    def forward(self, tags_BKD: Tensor) -> Tensor:
        """Tags (B, K, D) -> logits (B, K)."""
        return (self.W * tags_BKD).sum(-1) + self.b


class Tag2TextNetwork(nn.Module):
    """The five parts, named as in the published file."""

    def __init__(self, shape: Tag2TextShape) -> None:
        super().__init__()
        # Not on "meta": its tables of who sits beside whom are built here, not loaded.
        self.visual_encoder = SwinTransformer(
            img_size=shape.side,
            embed_dim=shape.embed,
            depths=shape.depths,
            num_heads=shape.swin_heads,
            window_size=shape.window,
            num_classes=0,
            global_pool="",
            weight_init="skip",
        )
        with torch.device("meta"):
            self.label_embed = nn.Embedding(shape.tags, shape.width)
            looking = shape.text(shape.image_width, shape.tag_heads)
            layers = nn.ModuleList(TagLayer(looking) for _ in range(shape.tag_layers))
            self.vision_multi = nn.ModuleDict({"encoder": nn.ModuleDict({"layer": layers})})
            self.fc = TagScores(shape.tags, shape.width)
            self.tag_encoder = BlipTextModel(shape.text(shape.image_width), add_pooling_layer=False)
            self.text_decoder = BlipTextLMHeadModel(shape.text(shape.width))
        for embeddings in (self.tag_encoder.embeddings, self.text_decoder.bert.embeddings):
            embeddings.register_buffer("position_ids", torch.arange(512)[None], persistent=False)

    def image(self, pictures_BCHW: Tensor) -> Tensor:
        """Pictures -> their tokens, the mean of which stands first: (B, 1 + L, E)."""
        tokens_BLE = self.visual_encoder.forward_features(pictures_BCHW).flatten(1, 2)
        return torch.cat([tokens_BLE.mean(1, keepdim=True), tokens_BLE], dim=1)

    def tag_logits(self, image_BLE: Tensor) -> Tensor:
        """Logits of all tags: (B, K)."""
        tags_BKD = self.label_embed.weight.expand(len(image_BLE), -1, -1)
        for layer in self.vision_multi.get_submodule("encoder.layer").children():
            tags_BKD = layer(tags_BKD, image_BLE)
        logits_BK: Tensor = self.fc(tags_BKD)
        return logits_BK

    def told(self, ids_BL: Tensor, mask_BL: Tensor, image_BLE: Tensor) -> Tensor:
        """Lists of tags that have looked at their pictures, padding and all: (B, L, D)."""
        encoded = self.tag_encoder(ids_BL, mask_BL, encoder_hidden_states=image_BLE)
        told_BLD: Tensor = encoded.last_hidden_state
        return told_BLD


class Speaker:
    """The decoder, one word at a time; what it worked out for earlier words is kept."""

    def __init__(self, decoder: BlipTextLMHeadModel, told_BLD: Tensor) -> None:
        """`told_BLD`: what each picture's caption is about."""
        self._decoder, self._told_RLD = decoder, told_BLD
        self._picture_R = torch.arange(len(told_BLD), device=told_BLD.device)
        self._words, self._about = DynamicCache(), DynamicCache()
        self._cache = EncoderDecoderCache(self._words, self._about)

    def __call__(self, words_RL: Tensor, rows_R: Tensor | None) -> Tensor:
        """Logits of the next word: (R, V); see `beam.Step`."""
        if rows_R is not None:
            self._words.batch_select_indices(rows_R)
            before_R, self._picture_R = self._picture_R, self._picture_R[rows_R]
            if not torch.equal(self._picture_R, before_R):
                # Else every row is about what it was about: all of a picture's are the same.
                self._about.batch_select_indices(rows_R)
                self._told_RLD = self._told_RLD[rows_R]
        said = self._decoder(
            words_RL,
            encoder_hidden_states=self._told_RLD,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_RV: Tensor = said.logits[:, -1]
        return logits_RV


class Tag2Text(TorchBackbone):
    """Items (frame,) -> a caption each, a text such as "a man riding a bike on a street".

    The frame is squeezed to a square by the decoder's scaler. Each caption is about its own frame;
    that the published program mixes frames up is `Scene`'s to know.

    Source: Huang et al., "Tag2Text: Guiding Vision-Language Model via Image Tagging", ICLR 2024;
    checkpoint tag2text_swin_14m.pth. Its program goes on with random numbers where the file has
    other names; here that is an error.
    """

    cpu_batch = 6
    efficiency = 0.53
    checkpoint: ClassVar[str] = "tag2text"
    shape: ClassVar[Tag2TextShape] = Tag2TextShape()
    tagging: ClassVar[Tagging] = Tagging()
    rules: ClassVar[BeamRules] = BeamRules(end=102)

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        self.names = weights.words(TAGS, self.shape.tags, {})
        self.pieces = WordPieces(weights, ["[DEC]", "[ENC]"])
        net = Tag2TextNetwork(self.shape)
        self.net = strict_load(net, weights, self.checkpoint, published_key, UNUSED)
        self.net.to(compute.device)

    def prepare(self, frame: Frame) -> Tensor:
        """A frame -> (3, 384, 384)."""
        rgb = frame.scaled(self.shape.side, self.shape.side)
        picture_3HW = torch.from_numpy(rgb).permute(2, 0, 1).float()
        return standardised(picture_3HW, IMAGENET_MEAN, IMAGENET_STD)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Captions in word pieces, `PROMPT_IDS` first, filled up with zeros: (B, L)."""
        return self._said(*self._seen([frame for (frame,) in items]))

    def rehearse(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> object:
        """See `TorchBackbone`; as if captions were as long as they may be, and said at once."""
        pictures_BCHW = torch.stack([self.prepare(frame) for (frame,) in items])
        image_BLE = self.net.image(pictures_BCHW.to(self.compute.device))
        self._tag_logits(image_BLE)
        ids_BL = torch.zeros(len(items), self.tagging.length, dtype=torch.long)
        ids_BL = ids_BL.to(self.compute.device)
        told_BLD = self.net.told(ids_BL, torch.ones_like(ids_BL), image_BLE)
        told_RLD, words_RL = (
            x.repeat_interleave(self.rules.beams, 0)
            for x in (told_BLD, ids_BL[:, : self.rules.longest - len(PROMPT_IDS)])
        )
        return self.net.text_decoder(words_RL, encoder_hidden_states=told_RLD)

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """One caption per item, without the prompt: arrays of no dimension that hold a text."""
        return self.look(items, [""] * len(items))

    def look(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> list[Feature]:
        """The caption of the frame of every item; of view "tags" the tags it is made of (T,)."""
        frames = list(dict.fromkeys(frame for (frame,) in items))
        asked = list(zip((frame for (frame,) in items), views, strict=True))
        told = [i for i, frame in enumerate(frames) if (frame, "") in asked]
        with computing(self.compute):
            image_BLE, tags = self._seen(frames)
            ids = self._said(image_BLE[told], [tags[i] for i in told]).tolist() if told else []
        captions = {frames[i]: self.caption(said) for i, said in zip(told, ids, strict=True)}
        names = {
            frame: np.array([self.names[tag] for tag in some], object)
            for frame, some in zip(frames, tags, strict=True)
        }
        return [np.asarray(captions[f]) if view == "" else names[f] for f, view in asked]

    def _seen(self, frames: Sequence[Frame]) -> tuple[Tensor, list[list[int]]]:
        """What is seen of frames, (B, L, E), and the tags that are told of each."""
        pictures_BCHW = torch.stack([self.prepare(frame) for frame in frames])
        image_BLE = self.net.image(pictures_BCHW.to(self.compute.device))
        logits_BK = self._tag_logits(image_BLE)
        if not logits_BK.isfinite().all():
            raise not_finite(self, frames[0])
        return image_BLE, self.tags(logits_BK)

    def _said(self, image_BLE: Tensor, tags: Sequence[Sequence[int]]) -> Tensor:
        encoded = [self.encoded(some) for some in tags]
        ids_BL, mask_BL = torch.tensor(encoded, device=self.compute.device).unbind(1)
        speaker = Speaker(self.net.text_decoder, self.net.told(ids_BL, mask_BL, image_BLE))
        captions = beam_search(speaker, PROMPT_IDS, len(tags), self.rules, self.compute.device)
        longest = self.rules.longest
        return torch.tensor([c.words + [0] * (longest - len(c.words)) for c in captions])

    def _tag_logits(self, image_BLE: Tensor) -> Tensor:
        """Logits of all tags: (B, K); on a CPU one by one, for all tags of a picture are many."""
        at_once = 1 if self.compute.device.type == "cpu" else len(image_BLE)
        return torch.cat([self.net.tag_logits(some) for some in torch.split(image_BLE, at_once)])

    def tags(self, logits_BK: Tensor) -> list[list[int]]:
        """The tags that are told of each picture, in the order of their list."""
        there_BK = logits_BK.sigmoid() > self.tagging.threshold
        never = set(self.tagging.never)
        return [
            [tag for tag in there_K.nonzero()[:, 0].tolist() if tag not in never]
            for there_K in there_BK.cpu()
        ]

    def encoded(self, tags: Sequence[int]) -> tuple[list[int], list[int]]:
        """A list of tags in word pieces, and 1 for each that is no padding."""
        text = " | ".join(self.names[tag] for tag in tags)
        ids, mask = self.pieces.encode(text, self.tagging.length)
        return [ENCODE, *ids[1:]], mask

    def caption(self, ids: Sequence[int]) -> str:
        """The caption that word pieces make, without the prompt."""
        return self.pieces.decode(ids)[len(PROMPT) :]


UNUSED = (
    # Tables that are built.
    r".*\.(relative_position_index|attn_mask|position_ids)",
    # Of tensors that the published network has under two names, the one it loads first.
    r"tag_encoder\.encoder\.layer\.[01]\.(crossattention|intermediate|output)\..*",
    r"text_decoder\.bert\.embeddings\.word_embeddings\.weight",
    r"text_decoder\.cls\.predictions\.bias",
)
"""What the published file may hold besides what is loaded."""

_PUBLISHED = (
    # timm has the step from a stage to the next at the beginning of the latter.
    (r"visual_encoder\.layers\.1\.downsample", "visual_encoder.layers.0.downsample"),
    (r"visual_encoder\.layers\.2\.downsample", "visual_encoder.layers.1.downsample"),
    (r"visual_encoder\.layers\.3\.downsample", "visual_encoder.layers.2.downsample"),
    (
        r"tag_encoder(\.encoder\.layer\.[01]\.(crossattention|intermediate|output)\.)",
        r"vision_multi\1",
    ),
    (r"bert\.embeddings\.word_embeddings", "cls.predictions.decoder"),
    (r"cls\.predictions\.bias", "cls.predictions.decoder.bias"),
)
"""Our names, as patterns, and the published ones; at most one applies."""


def published_key(key: str) -> str:
    """The published key for one of ours; parts that are one there have one key."""
    for pattern, name in _PUBLISHED:
        key, found = re.subn(pattern, name, key)
        if found:
            break
    return key
