"""Prompts of Vchitect-2.0 to features: as in Stable Diffusion 3."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

from vbench_long.generators.vchitect2.text import PromptEncoder, load_encoder
from vbench_long.generators.vchitect2.tiny import TINY

CPU = torch.device("cpu")
SCHEDULER = FlowMatchEulerDiscreteScheduler(shift=3.0)
PROMPTS = ("a red boat on a lake", "an old clock, close up")


pytestmark = pytest.mark.usefixtures("inference")


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Path) -> PromptEncoder:
    return load_encoder(tiny_checkpoint, TINY, torch.float32, CPU, "device")


def test_features_equal_stable_diffusion_3(encoder: PromptEncoder) -> None:
    (clip_1, clip_2), t5 = encoder.clips, encoder.t5
    assert t5
    theirs = StableDiffusion3Pipeline(
        transformer=None,
        scheduler=SCHEDULER,
        vae=None,
        text_encoder=clip_1.encoder,
        tokenizer=clip_1.tokenizer,
        text_encoder_2=clip_2.encoder,
        tokenizer_2=clip_2.tokenizer,
        text_encoder_3=t5.encoder,
        tokenizer_3=t5.tokenizer,
    )
    prompts = [*PROMPTS, "", "word " * 100, "你好世界"]
    text, _, pooled, _ = theirs.encode_prompt(prompts, None, None, device=CPU)
    ours = encoder(prompts)
    assert torch.equal(ours.text_BSE, text) and torch.equal(ours.pooled_BP, pooled)
    assert ours.text_BSE.shape == (5, 333, 96) and ours.pooled_BP.shape == (5, 48)
    assert not ours.text_BSE[:, :77, 64:].any() and ours.text_BSE[:, 77:, 64:].all()


def test_t5_gets_no_mask(encoder: PromptEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert encoder.t5
    given: list[Any] = []
    real = type(encoder.t5.encoder).forward

    def forward(self: Any, *args: Any, **named: Any) -> Any:
        given.append((len(args), named))
        return real(self, *args, **named)

    monkeypatch.setattr(type(encoder.t5.encoder), "forward", forward)
    encoder(["a"])
    assert given == [(1, {})]


def test_other_ways_to_run_the_large_encoder(tiny_checkpoint: Path, encoder: PromptEncoder) -> None:
    expected = encoder(PROMPTS)
    for mode, tolerance in {"cpu": 0.0, "int8": 0.2, "none": 99.0}.items():
        found = load_encoder(tiny_checkpoint, TINY, torch.float32, CPU, mode)(PROMPTS)  # type: ignore[arg-type]
        assert torch.equal(found.pooled_BP, expected.pooled_BP)
        assert torch.equal(found.text_BSE[:, :77], expected.text_BSE[:, :77])
        difference = (found.text_BSE - expected.text_BSE).abs().max()
        assert float(difference) <= tolerance, mode
        assert found.text_BSE[:, 77:].any() == (mode != "none")


def test_prompts_that_are_not_read_are_said(
    encoder: PromptEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        encoder(["", "short", "long " * 300])
        assert "only 256 of" in caplog.text and "'long" in caplog.text
        caplog.clear()
        encoder(["你好世界"])
    assert "knows few of the words in '你好世界'" in caplog.text
