"""Vchitect-2.0 from a first frame: held at the picture throughout, and named an experiment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from vchitect2_cases import normals, seeded_vae

from vbench_long.errors import GenerationError
from vbench_long.generators import GENERATORS, Request
from vbench_long.generators.vchitect2.image import fitted, image_latents
from vbench_long.generators.vchitect2.loading import load_pipeline
from vbench_long.generators.vchitect2.options import Settings, parse_options
from vbench_long.generators.vchitect2.pipeline import Pipeline, as_images
from vbench_long.generators.vchitect2.sampling import sample
from vbench_long.generators.vchitect2.schedule import make_schedule
from vbench_long.video import Image

SETTINGS = Settings(width=64, height=32, frames=3, steps=4)
SMALL = {"width": "64", "height": "32", "frames": "3", "steps": "2"}


pytestmark = pytest.mark.usefixtures("inference")


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> Pipeline:
    return load_pipeline(tiny_checkpoint, SETTINGS)


def picture(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def as_bytes(frame_13HW: Tensor) -> Image:
    return next(as_images(frame_13HW))


def test_a_picture_of_the_right_size_is_taken_as_it_is() -> None:
    image = picture(32, 64)
    assert np.array_equal(as_bytes(fitted(image, 64, 32)), image)


@pytest.mark.parametrize(("height", "width"), [(32, 96), (96, 64), (64, 192), (33, 64)])
def test_what_sticks_out_is_cut_off_evenly(height: int, width: int) -> None:
    """A picture with a bright square in its middle keeps it there, and square."""
    image = np.zeros((height, width, 3), np.uint8)
    side, top, left = height // 4 * 2, height // 4, width // 2 - height // 4
    image[top : top + side, left : left + side] = 255
    found = as_bytes(fitted(image, 64, 32))
    assert found.shape == (32, 64, 3)
    rows, columns = np.nonzero(found[:, :, 0] > 127)
    scale = max(64 / width, 32 / height)
    assert np.ptp(columns) + 1 == pytest.approx(side * scale, abs=1.01)
    assert columns.mean() == pytest.approx(31.5, abs=1)
    assert rows.mean() == pytest.approx(15.5, abs=1)
    if side * scale <= 32:
        assert np.ptp(rows) + 1 == pytest.approx(side * scale, abs=1.01)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 5), (2000, 3)])
def test_any_picture_becomes_a_frame(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (10, 128, 250), np.uint8)
    assert np.array_equal(
        as_bytes(fitted(image, 64, 32)), np.broadcast_to(image[0, 0], (32, 64, 3))
    )


def test_a_shrunk_picture_is_smoothed() -> None:
    """Stripes of one pixel become grey, not stripes of another width."""
    stripes = np.zeros((128, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    found = as_bytes(fitted(stripes, 64, 32))[4:-4, 4:-4]
    assert np.abs(found.astype(int) - 128).max() <= 4


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture(image: Any, pipeline: Pipeline) -> None:
    with pytest.raises(GenerationError, match="the image cannot be used"):
        pipeline.latents(["a"], [1], images=[image])


def test_latents_of_a_picture_are_scaled_as_decoding_expects() -> None:
    vae, frame = seeded_vae(), fitted(picture(32, 64), 64, 32)
    mean = vae.encode(frame).latent_dist.mean
    found = image_latents(vae, frame)
    unscaled = found / vae.config.scaling_factor + vae.config.shift_factor
    assert float((unscaled - mean).abs().max()) <= 1e-5
    assert torch.equal(found, image_latents(vae, frame))


def test_the_first_frame_is_as_noisy_as_the_others() -> None:
    """A velocity that leads to the data itself: holding the first frame then changes nothing."""
    schedule = make_schedule(FlowMatchEulerDiscreteScheduler(shift=3.0), 7, 1.0, "constant")
    noise, data = normals([1, [2, 3, 16, 4, 4]]), normals([2, [2, 3, 16, 4, 4]])
    seen: list[Tensor] = []

    def velocity(latents: Tensor, timestep: float, weight: float) -> Tensor:
        sigma = timestep / 1000
        assert float((latents - (1 - sigma) * data - sigma * noise).abs().max()) <= 1e-5
        return noise - data

    def astray(latents: Tensor, timestep: float, weight: float) -> Tensor:
        sigma = timestep / 1000
        seen.append(latents[:, 0] - (1 - sigma) * data[:, 0] - sigma * noise[:, 0])
        return latents * 3

    assert float((sample(velocity, noise, schedule) - data).abs().max()) <= 1e-5
    held = sample(velocity, noise, schedule, first_BCHW=data[:, 0])
    assert float((held - data).abs().max()) <= 1e-5
    found = sample(astray, noise, schedule, first_BCHW=data[:, 0])
    assert len(seen) == 7 and float(torch.stack(seen).abs().max()) <= 1e-5
    assert torch.equal(found[:, 0], data[:, 0]) and not torch.equal(found[:, 1], data[:, 1])


def test_the_first_frame_is_the_picture_as_the_autoencoder_renders_it(
    tiny_checkpoint: Path, pipeline: Pipeline
) -> None:
    from vbench_long.generators.vchitect2.checkpoint import empty_transformer, empty_vae, fill_vae

    config = empty_transformer(tiny_checkpoint).config
    vae = fill_vae(
        empty_vae(tiny_checkpoint, config), tiny_checkpoint, torch.float32, torch.device("cpu")
    )
    image = picture(50, 80)
    around = vae.decode(vae.encode(fitted(image, 64, 32)).latent_dist.mode()).sample
    (latents,) = pipeline.latents(["a cat"], [3], images=[image])
    first, *others = pipeline.frames(latents)
    expected = as_bytes(around).astype(int)
    assert np.abs(first - expected).max() <= 1
    for other in others:
        assert np.abs(other - expected).mean() > 2
    other_latents = pipeline.latents(["a cat"], [3], images=[picture(50, 80, 1)])[0]
    assert not torch.equal(other_latents[1:], latents[1:])  # The others see the first.


def test_pictures_go_with_their_prompts(pipeline: Pipeline) -> None:
    images = [picture(32, 64), picture(32, 64, 1)]
    both = pipeline.latents(["a cat", "a dog"], [3, 4], images=images)
    alone = pipeline.latents(["a dog"], [4], images=images[1:])
    assert float((both[1] - alone[0]).abs().max()) <= 1e-4
    assert torch.equal(pipeline.latents(["a dog"], [4], images=images[1:]), alone)
    with pytest.raises(ValueError, match="image"):
        pipeline.latents(["a cat", "a dog"], [3, 4], images=images[:1])


def test_latents_rounded_after_each_step_hold_the_picture_too(tiny_checkpoint: Path) -> None:
    settings = replace(SETTINGS, dtype="bf16", latents="model")
    found = load_pipeline(tiny_checkpoint, settings).latents(["a"], [1], images=[picture(32, 64)])
    exact = load_pipeline(tiny_checkpoint, SETTINGS).latents(["a"], [1], images=[picture(32, 64)])
    assert float((found[:, 0] - exact[:, 0]).abs().max()) <= float(exact[:, 0].abs().max()) / 128


def make(tiny_checkpoint: Path, **options: str) -> Any:
    return GENERATORS.get("vchitect2")({"checkpoint": str(tiny_checkpoint), **SMALL, **options})


def frames_of(generator: Any, image: Image | None = None) -> Image:
    return np.stack(list(generator.generate(Request("a cat", 3, image=image))))


def test_it_is_an_experiment_that_must_be_asked_for(tiny_checkpoint: Path) -> None:
    assert parse_options({}).settings.image == "none"
    plain, trying = make(tiny_checkpoint), make(tiny_checkpoint, image="experimental")
    with pytest.raises(GenerationError, match=r"not trained.*image=experimental"):
        frames_of(plain, picture(32, 64))
    assert plain.settings()["image"] == "none"
    assert trying.settings()["image"] == "experimental"
    assert np.array_equal(frames_of(trying), frames_of(plain))
    found = frames_of(trying, picture(32, 64))
    assert not np.array_equal(found, frames_of(plain))
    assert np.array_equal(found, frames_of(trying, picture(32, 64)))
