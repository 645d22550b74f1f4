"""Prompts to features: two CLIP text towers and a T5 encoder, as Stable Diffusion 3 uses them.

Shapes: B prompts, S = 77 + 256 tokens, E numbers per token (4096), P numbers of a summary (2048).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5TokenizerFast
from transformers.utils import logging as library_logging

from vbench_long.errors import EnvironmentFault
from vbench_long.generators.vchitect2.checkpoint import GET, read_json
from vbench_long.generators.vchitect2.config import TransformerConfig

LOG = logging.getLogger("vbench_long")
CPU = torch.device("cpu")

T5Mode: TypeAlias = Literal["device", "int8", "cpu", "none"]
"""Where the large encoder runs: on the device, there in 8 bits, on the CPU, or not at all."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of text encoder: the library's classes, and the tokens it reads."""

    tokenizer: Any
    encoder: Any
    length: int


CLIP = Kind(CLIPTokenizer, CLIPTextModelWithProjection, 77)
T5 = Kind(T5TokenizerFast, T5EncoderModel, 256)


@dataclass(frozen=True, slots=True)
class PromptFeatures:
    """What the transformer sees of prompts.

    Attributes:
        text_BSE: a feature per token.
        pooled_BP: a summary per prompt.
    """

    text_BSE: Tensor  # noqa: N815
    pooled_BP: Tensor  # noqa: N815

    def to(self, device: torch.device, dtype: torch.dtype) -> PromptFeatures:
        """The same, elsewhere."""
        return PromptFeatures(self.text_BSE.to(device, dtype), self.pooled_BP.to(device, dtype))


def joined(parts: Sequence[PromptFeatures]) -> PromptFeatures:
    """Features of several batches as those of one."""
    return PromptFeatures(
        torch.cat([part.text_BSE for part in parts]), torch.cat([part.pooled_BP for part in parts])
    )


@dataclass(frozen=True, slots=True)
class TextTower:
    """An encoder with its tokenizer.

    Attributes:
        tokenizer: text to ids.
        encoder: ids to features.
        length: ids it reads of a prompt.
        stays: on the CPU, wherever the others go.
    """

    tokenizer: Any
    encoder: Any
    length: int
    stays: bool = False

    def read(self, prompts: Sequence[str]) -> Tensor:
        """Ids (B, length), cut or padded, where the encoder is."""
        ids_BS: Tensor = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return ids_BS.to(next(self.encoder.parameters()).device)


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """The three text encoders.

    Attributes:
        clips: the two CLIP towers, the smaller one first.
        t5: the large encoder; None to do without, which leaves its tokens zero.
        text_dim: numbers per token that the transformer wants.
    """

    clips: tuple[TextTower, ...]
    t5: TextTower | None
    text_dim: int

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> PromptFeatures:
        """Features of prompts, where the CLIP towers are.

        A prompt longer than a tower reads is cut. T5 gets no mask: the transformer was trained on
        what it makes of its padding.
        """
        texts, summaries = zip(*(_clip_features(clip, prompts) for clip in self.clips), strict=True)
        clip_BSC = torch.cat(texts, -1)
        clip_BSE = F.pad(clip_BSC, (0, self.text_dim - clip_BSC.shape[-1]))
        t5_BSE = clip_BSE.new_zeros(len(prompts), T5.length, self.text_dim)
        if self.t5:
            _warn_of_losses(self.t5, prompts)
            t5_BSE = self.t5.encoder(self.t5.read(prompts))[0].to(clip_BSE)
        return PromptFeatures(torch.cat([clip_BSE, t5_BSE], 1), torch.cat(summaries, -1))

    def visitors(self) -> list[nn.Module]:
        """The encoders that work on the device; the others stay on the CPU."""
        return [t.encoder for t in (*self.clips, self.t5) if t and not t.stays]


def _clip_features(tower: TextTower, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The last layer but one, (B, 77, C), and the projected end-of-text token, (B, C)."""
    out = tower.encoder(tower.read(prompts), output_hidden_states=True)
    return out.hidden_states[-2], out.text_embeds


def _warn_of_losses(tower: TextTower, prompts: Sequence[str]) -> None:
    """Say which prompts T5 cannot read, or not to their end."""
    for prompt in dict.fromkeys(prompts):
        ids = tower.tokenizer(prompt, verbose=False).input_ids
        if len(ids) > tower.length:
            LOG.warning(
                "only %d of %d tokens are read of '%s'", tower.length, len(ids), prompt[:60]
            )
        unknown = ids.count(tower.tokenizer.unk_token_id)
        if unknown and 2 * unknown >= len(ids) - 2:  # Less a space before, and the end.
            LOG.warning("the text encoder knows few of the words in '%s'", prompt[:60])


def load_encoder(
    root: Path, config: TransformerConfig, dtype: torch.dtype, device: torch.device, t5: T5Mode
) -> PromptEncoder:
    """The text encoders of a checkpoint folder.

    Raises:
        EnvironmentFault: one is not there, incomplete, or does not fit the transformer.
    """
    clips = tuple(_tower(root, number, CLIP, dtype, device) for number in ("", "_2"))
    configs = [clip.encoder.config for clip in clips]
    widths = [one.hidden_size for one in configs]
    _require(sum(widths) <= config.joint_attention_dim, root / "text_encoder")
    summaries = [one.projection_dim for one in configs]
    _require(sum(summaries) == config.pooled_projection_dim, root / "text_encoder")
    if t5 == "none":
        return PromptEncoder(clips, None, config.joint_attention_dim)
    large = _tower(root, "_3", T5, dtype, device if t5 == "device" else CPU)
    _require(large.encoder.config.d_model == config.joint_attention_dim, root / "text_encoder_3")
    if t5 == "int8":
        in_8_bits(large.encoder).to(device)
    return PromptEncoder(clips, replace(large, stays=t5 == "cpu"), config.joint_attention_dim)


def _require(fits: bool, where: Path) -> None:
    if not fits:
        raise EnvironmentFault(
            "the features of this text encoder do not fit the transformer", str(where), GET
        )


def _tower(
    root: Path, number: str, kind: Kind, dtype: torch.dtype, device: torch.device
) -> TextTower:
    encoder = _pretrained(root / f"text_encoder{number}", kind.encoder, dtype)
    tower = TextTower(
        _tokenizer(root / f"tokenizer{number}", kind.tokenizer), encoder.to(device), kind.length
    )
    # A tokenizer whose files are of another kind comes up empty, and says nothing of it.
    words = {tuple(tower.tokenizer(word).input_ids) for word in ("cat", "dog")}
    if len(words) < 2 or len(tower.tokenizer) > encoder.config.vocab_size:
        raise EnvironmentFault(
            "the tokenizer is not the text encoder's", str(root / f"tokenizer{number}"), GET
        )
    return tower


def _tokenizer(folder: Path, kind: Any) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    # What the parsers raise differs from file to file, and means the same to a user.
    except Exception as error:
        raise EnvironmentFault(
            f"the tokenizer cannot be read ({error})", str(folder), GET
        ) from error


def _pretrained(folder: Path, kind: Any, dtype: torch.dtype) -> Any:
    """A text encoder, of the class its config names, complete or not at all."""
    named = read_json(folder / "config.json").get("architectures") or [""]
    if named[0] != kind.__name__:
        raise EnvironmentFault(f"{named[0] or 'nothing'} is no {kind.__name__}", str(folder), GET)
    library_logging.disable_progress_bar()
    loud = library_logging.get_verbosity()
    library_logging.set_verbosity_error()  # Its report on what is missing is a page long.
    try:
        encoder, report = kind.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # They are in the report.
        )
    # What the parsers raise differs from file to file, and means the same to a user.
    except Exception as error:
        raise EnvironmentFault(
            f"the text encoder cannot be read ({error})", str(folder), GET
        ) from error
    finally:
        library_logging.set_verbosity(loud)
    misshapen = {name for name, *_ in report["mismatched_keys"]}
    if lacking := sorted(report["missing_keys"] | misshapen):
        raise EnvironmentFault(
            f"the text encoder lacks {lacking[0]} of the right shape ({len(lacking)} in all)",
            str(folder),
            GET,
        )
    return encoder.eval().requires_grad_(False)


class Linear8(nn.Module):
    """A linear layer with its weight in 8 bits, each row in steps of its own size."""

    weight: Tensor
    step_O1: Tensor  # noqa: N815

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight_OI = linear.weight.detach().float()
        step_O1 = weight_OI.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("weight", (weight_OI / step_O1).round().to(torch.int8))
        self.register_buffer("step_O1", step_O1.to(linear.weight.dtype))
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """The product, computed in the dtype of `x`."""
        weight_OI = self.weight.to(x.dtype) * self.step_O1.to(x.dtype)
        return F.linear(x, weight_OI, self.bias)


def in_8_bits(module: nn.Module) -> nn.Module:
    """`module` with all its linear layers in 8 bits: half the memory of bfloat16."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, Linear8(child))
        else:
            in_8_bits(child)
    return module
