"""What can be asked of Vchitect-2.0, what it costs, and how it serves a run."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vbench_long.cli import main
from vbench_long.dimensions.backbones.rehearsal import Live
from vbench_long.errors import EnvironmentFault, GenerationError, UsageError
from vbench_long.generators import GENERATORS, Request
from vbench_long.generators.vchitect2 import cost
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.cost import (
    PLANS,
    Plan,
    Sizes,
    VideoShape,
    activation_bytes,
    choose_plan,
    flops,
    most_frames,
    peak_bytes,
)
from vbench_long.generators.vchitect2.loading import load_pipeline
from vbench_long.generators.vchitect2.options import ASPECTS, Machine, Settings, parse_options
from vbench_long.generators.vchitect2.stacks import in_pieces
from vbench_long.generators.vchitect2.transformer import Transformer
from vbench_long.store import load_run
from vbench_long.video import write_video

CONFIG = TransformerConfig()
SIZES = Sizes(
    text=11_160_000_000,
    transformer=4_963_000_000,
    block=200_000_000,
    vae=335_000_000,
    number=2,
    pixel=3072,
    decoded=4,
)
SMALL = {"width": "32", "height": "16", "frames": "3", "steps": "1"}


def make(tiny_checkpoint: Path, **options: str) -> Any:
    return GENERATORS.get("vchitect2")({"checkpoint": str(tiny_checkpoint), **SMALL, **options})


def test_the_defaults_made_the_published_scores() -> None:
    options = parse_options({})
    assert (options.settings, options.machine) == (Settings(), Machine())
    asked = options.settings
    assert (asked.width, asked.height, asked.frames, asked.steps) == (768, 432, 40, 100)
    assert (asked.guidance, asked.guidance_schedule, asked.negative_prompt) == (
        7.5,
        "reference",
        "",
    )


def test_every_aspect_is_legal_and_within_the_trained_area() -> None:
    for name, (width, height) in ASPECTS.items():
        asked = parse_options({"aspect": name}).settings
        assert (asked.width, asked.height) == (width, height)
        across, down = (int(side) for side in name.split(":"))
        assert width / height == pytest.approx(across / down, rel=1e-3)
        assert 300_000 < width * height <= 720 * 480
    assert parse_options({"aspect": "16:9", "width": "416"}).settings.height == 432


def test_seconds_stand_for_frames() -> None:
    assert [parse_options({"seconds": s}).settings.frames for s in ("5", "20", "0.5")] == [
        40,
        160,
        4,
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": "770"}, "770x432 is not possible.*nearest size is 768x432"),
        ({"height": "1"}, "nearest size is 768x16"),
        ({"width": "9999"}, "nearest size is 3072x432"),
        ({"width": "-16"}, "nearest size is 16x432"),
        ({"width": "wide"}, "whole number"),
        ({"frames": "0"}, "from 1 to"),
        ({"frames": "2.5"}, "whole number"),
        ({"seconds": "0"}, "from 0.125"),
        ({"seconds": "nan"}, "seconds=nan"),
        ({"steps": "0"}, "steps=0"),
        ({"guidance": "-1"}, "from 0 to 100"),
        ({"guidance": "nan"}, "guidance=nan"),
        ({"guidance_schedule": "cosin"}, "did you mean 'cosine'"),
        ({"offload": "all"}, "offload of vchitect2"),
        ({"aspect": "21:9"}, "unknown aspect"),
        ({"widht": "768"}, "did you mean 'width'"),
        ({"reuse": "2"}, "from 0 to 1"),
        ({"decode_frames": "0"}, "decode_frames=0"),
        ({"rope_scaling_factor": "inf"}, "rope_scaling_factor=inf"),
    ],
)
def test_options_that_are_not_possible(options: Mapping[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_options(options)


@given(st.integers(-100, 5000), st.integers(-100, 5000))
def test_the_nearest_size_that_is_named_is_legal(width: int, height: int) -> None:
    try:
        Settings(width=width, height=height)
    except UsageError as error:
        near_width, near_height = map(int, error.fix.rsplit(" ", 1)[1].split("x"))
        Settings(width=near_width, height=near_height)
        assert abs(near_width - min(max(width, 16), 3072)) <= 8
        assert abs(near_height - min(max(height, 16), 3072)) <= 8
    else:
        assert width % 16 == height % 16 == 0


@pytest.mark.parametrize(
    ("shape", "tera"), [((432, 240, 40), 58.5), ((768, 432, 40), 145.5), ((720, 480, 160), 609.2)]
)
def test_arithmetic_is_what_was_counted(shape: tuple[int, int, int], tera: float) -> None:
    """The figures are a profiler's, of the published program."""
    assert flops(CONFIG, VideoShape(*shape)) / 1e12 == pytest.approx(tera, rel=2e-3)


@pytest.mark.parametrize("size", [(768, 432), (432, 240), (128, 64)], ids=str)
@pytest.mark.parametrize("plan", [PLANS[0], PLANS[1], Plan("in-turn", "pieces", "none")], ids=str)
def test_memory_is_what_is_estimated(
    plan: Plan, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors without numbers are counted; attention is taken to hold its result alone."""

    def attend(q_NHLd: Tensor, *_: Tensor) -> Tensor:
        return torch.empty_like(q_NHLd.transpose(1, 2)).transpose(1, 2)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    prompts = 2 if plan.branches == "together" else 1
    shape = VideoShape(*size, frames=160)
    stack = in_pieces if plan.blocks == "pieces" else None
    with torch.device("meta"), torch.inference_mode():
        model = Transformer(replace(CONFIG, num_layers=3)).bfloat16()
        sides = size[1] // 8, size[0] // 8
        latents = torch.empty(prompts, shape.frames, 16, *sides, dtype=torch.bfloat16)
        text = torch.empty(prompts, 333, 4096, dtype=torch.bfloat16)
        pooled, time = torch.empty(prompts, 2048, dtype=torch.bfloat16), torch.empty(prompts)
        with Live(model.state_dict().values()) as live:
            model(latents, time, text, pooled, stack=stack)
    assert live.peak == pytest.approx(activation_bytes(CONFIG, shape, plan, 2), rel=0.1)


def test_leaner_plans_need_less() -> None:
    shape = VideoShape(768, 432, 160)
    whole, pieces = (Plan("together", blocks, "none") for blocks in ("whole", "pieces"))
    assert (
        activation_bytes(CONFIG, shape, pieces, 2) < activation_bytes(CONFIG, shape, whole, 2) / 2
    )
    peaks = {plan: peak_bytes(CONFIG, shape, plan, SIZES) for plan in PLANS}
    for plan, leaner in (("none", "text"), ("text", "model"), ("model", "sequential")):
        for one in PLANS:
            if one.offload == plan:
                assert peaks[replace(one, offload=leaner)] <= peaks[one]  # type: ignore[arg-type]
    held = SIZES.text + SIZES.transformer + SIZES.vae
    assert peaks[PLANS[0]] == int(1.1 * (held + activation_bytes(CONFIG, shape, PLANS[0], 2)))
    # 20 s fit a card of 24 GB, and what was published needed 68 GB.
    chosen = choose_plan(CONFIG, shape, SIZES, PLANS, 24_000_000_000)
    assert chosen and chosen.blocks == "whole" and peaks[chosen] < 24e9


@settings(max_examples=30)
@given(st.integers(10, 90))
def test_the_longest_video_is_the_longest(gigabytes: int) -> None:
    shape, free = VideoShape(768, 432, 1), gigabytes * 10**9
    most = most_frames(CONFIG, shape, SIZES, PLANS, free)
    fits = [
        choose_plan(CONFIG, replace(shape, frames=frames), SIZES, PLANS, free) is not None
        for frames in (most, most + 1)
        if frames
    ]
    assert fits == ([True, False] if most else [False])


def test_too_little_memory_is_said_before_anything_is_loaded(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "RUNTIME", 0)
    asked, where = Settings(width=512, height=512, frames=64), "vbench_long.generators.vchitect2"
    monkeypatch.setattr(f"{where}.loading.fill_transformer", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(f"{where}.loading.free_bytes", lambda _: 150_000_000)
    with pytest.raises(EnvironmentFault, match=r"needs .* GB, and 0\.1 GB are free.* frames of"):
        load_pipeline(tiny_checkpoint, asked)


def test_the_fastest_plan_that_fits_is_taken_and_announced(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    where = "vbench_long.generators.vchitect2.loading.free_bytes"
    asked = Settings(width=256, height=256, frames=16)
    for free, plan in ((10**12, "offload none"), (660_000_000, "offload model")):
        caplog.clear()
        monkeypatch.setattr(where, lambda _, free=free: free)
        load_pipeline(tiny_checkpoint, asked)
        assert plan in caplog.text and "256x256, 16 frames" in caplog.text
    caplog.clear()
    monkeypatch.setattr(where, lambda _: None)
    load_pipeline(tiny_checkpoint, asked, Machine(branches="in-turn", offload="model"))
    assert "branches in-turn, blocks whole, offload model" in caplog.text


def test_frames_beyond_the_table_of_positions(tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="nearest size is 1024x16"):
        next(make(tiny_checkpoint, width="1040").generate(Request("a", 0)))


def test_a_missing_device_is_said(tiny_checkpoint: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(EnvironmentFault, match="no device 'cuda' here; use device="):
        make(tiny_checkpoint, device="cuda")


def frames_of(generator: Any, **request: Any) -> Any:
    return np.stack(list(generator.generate(Request(**{"prompt": "a cat", "seed": 3, **request}))))


def test_frames_follow_from_the_request(tiny_checkpoint: Path) -> None:
    generator = make(tiny_checkpoint)
    first = frames_of(generator)
    assert first.shape == (3, 16, 32, 3) and first.dtype == np.uint8
    assert np.array_equal(frames_of(make(tiny_checkpoint)), first)
    for change in ({"seed": 4}, {"prompt": "a dog"}, {"negative_prompt": "blurry"}):
        assert not np.array_equal(frames_of(generator, **change), first)
    assert np.array_equal(frames_of(generator, index=5), first)


def test_longer_videos_may_be_placed_closer_in_time(tiny_checkpoint: Path) -> None:
    assert not np.array_equal(
        frames_of(make(tiny_checkpoint, rope_scaling_factor="2")), frames_of(make(tiny_checkpoint))
    )


@pytest.mark.parametrize("prompt", ["", "你好世界 🚀", "word " * 5000, "a\nb\0c"])
def test_odd_prompts_make_videos(tiny_checkpoint: Path, prompt: str) -> None:
    assert frames_of(make(tiny_checkpoint), prompt=prompt).shape == (3, 16, 32, 3)


def test_requests_that_cannot_be_met(tiny_checkpoint: Path) -> None:
    image = np.zeros((16, 32, 3), np.uint8)
    for request in (Request("a", 0, image=image), Request("a", -1)):
        with pytest.raises(GenerationError, match=r"image|seed"):
            next(make(tiny_checkpoint).generate(request))


def test_a_negative_prompt_never_goes_unheard(tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match=r"guidance=1\.0 asks the prompt alone .*omit it"):
        parse_options({"guidance": "1", "negative_prompt": "blur"})
    with pytest.raises(GenerationError, match="raise guidance above 1"):
        frames_of(make(tiny_checkpoint, guidance="0.5"), negative_prompt="blur")


@pytest.mark.parametrize("plan", [PLANS[0], PLANS[-1]], ids=["fastest", "leanest"])
def test_out_of_memory_says_what_would_fit(
    tiny_checkpoint: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Settings(width=256, height=128, frames=16, steps=1)
    machine = Machine(branches=plan.branches, blocks=plan.blocks, offload=plan.offload)
    pipeline = load_pipeline(tiny_checkpoint, asked, machine)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(Transformer, "forward", full)
    with pytest.raises(EnvironmentFault, match=r"out of memory .*Tried.* less memory: ") as caught:
        pipeline.latents(["a"], [1])
    named = re.findall(r"branches=(\S+),blocks=(\S+),offload=(\S+) takes", caught.value.fix)
    assert (named == []) == (plan == PLANS[-1]) and len(set(named)) == len(named)
    assert all(Plan(*words) in PLANS for words in named)
    assert re.search(r"\b8 frames take 0\.\d GB at least", caught.value.fix)


def test_settings_name_all_that_shapes_videos(tiny_checkpoint: Path) -> None:
    found = make(tiny_checkpoint, steps="7").settings()
    assert (found["steps"], found["width"], found["dtype"]) == (7, 32, "float32")
    assert len(found["weights"]) == 64 and found["untrained"] is True
    assert "device" not in found and "offload" not in found
    (tiny_checkpoint / "model_index.json").rename(tiny_checkpoint / "aside")
    assert "untrained" not in make(tiny_checkpoint).settings()
    (tiny_checkpoint / "aside").rename(tiny_checkpoint / "model_index.json")


def test_the_file_is_h264_at_8_frames_a_second(tiny_checkpoint: Path, tmp_path: Path) -> None:
    generator = make(tiny_checkpoint, frames="5")
    assert generator.fps == Fraction(8)
    write_video(tmp_path / "v.mp4", generator.generate(Request("a", 0)), generator.fps)
    with av.open(str(tmp_path / "v.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 8 and len(list(file.decode(stream))) == 5


def test_a_run_says_that_its_weights_are_untrained(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = f"checkpoint={tiny_checkpoint},width=64,height=48,frames=16,steps=1"
    command = ["evaluate", "--model", "vchitect2", "--model-args", options, "--suite", "mini"]
    command += ["--limit", "1", "--dimensions", "temporal_flickering"]
    assert main([*command, "--output", str(tmp_path / "run")]) == 0
    assert "untrained" in capsys.readouterr().out
    run = load_run(tmp_path / "run")
    assert run.manifest.protocol["untrained"] is True
    assert run.manifest.model["settings"]["untrained"] is True
    with (tmp_path / "run" / "videos" / "manifest.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["seed"] == "0"
    assert main(["leaderboard", str(tmp_path / "run"), "--output", str(tmp_path / "board")]) == 2
