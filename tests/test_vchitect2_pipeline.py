"""From prompt to pixels: against the published program's numbers, and whatever the machine is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from vchitect2_cases import GOLDEN, kept, normals, seeded_transformer, seeded_vae

from vbench_long.errors import EnvironmentFault, GenerationError
from vbench_long.generators.vchitect2.cost import PLANS, Plan
from vbench_long.generators.vchitect2.loading import load_pipeline
from vbench_long.generators.vchitect2.options import Machine, Settings
from vbench_long.generators.vchitect2.pipeline import Parts, Pipeline, as_images
from vbench_long.generators.vchitect2.sampling import (
    Velocity,
    draw_noise,
    guided_in_turn,
    guided_together,
    sample,
)
from vbench_long.generators.vchitect2.schedule import make_schedule
from vbench_long.generators.vchitect2.stacks import visiting
from vbench_long.generators.vchitect2.text import PromptEncoder, PromptFeatures, load_encoder
from vbench_long.generators.vchitect2.tiny import TINY

CPU = torch.device("cpu")
SCHEDULER = FlowMatchEulerDiscreteScheduler(shift=3.0)
SAMPLING, CASES = GOLDEN["sampling"], GOLDEN["sampling"]["cases"]
SMALL = Settings(width=64, height=32, frames=3, steps=2)
PROMPTS = ("a red boat on a lake", "an old clock, close up")


pytestmark = pytest.mark.usefixtures("inference")


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Path) -> PromptEncoder:
    return load_encoder(tiny_checkpoint, TINY, torch.float32, CPU, "device")


@pytest.fixture(scope="module")
def parts(encoder: PromptEncoder) -> Parts:
    return Parts(seeded_transformer(), seeded_vae(), SCHEDULER, encoder)


def largest(one: Any, other: Any) -> float:
    one, other = torch.as_tensor(one).double(), torch.as_tensor(other).double()
    return float((one - other).abs().max())


@pytest.mark.parametrize("steps", GOLDEN["schedules"])
def test_schedule_equals_the_published_program(steps: str) -> None:
    golden = GOLDEN["schedules"][steps]
    schedule = make_schedule(SCHEDULER, int(steps), 7.5, "reference")
    assert list(schedule.timesteps) == golden["timesteps"]
    assert list(schedule.sigmas) == golden["sigmas"]
    assert largest(schedule.weights, golden["guidance"]) <= 1e-12


def test_other_guidance_schedules() -> None:
    assert set(make_schedule(SCHEDULER, 7, 5.0, "constant").weights) == {5.0}
    cosine = make_schedule(SCHEDULER, 50, 5.0, "cosine").weights
    assert cosine[0] == 1.0 and list(cosine) == sorted(cosine) and 5.0 < cosine[-1] < 6.0


def golden_features() -> tuple[PromptFeatures, PromptFeatures]:
    found = {name: normals(recipe) for name, recipe in SAMPLING["inputs"].items()}
    return (
        PromptFeatures(found["prompt_embeds"], found["pooled"]),
        PromptFeatures(found["negative_prompt_embeds"], found["negative_pooled"]),
    )


def golden_latents(name: str, velocity: Velocity) -> Tensor:
    """Latents after every step of a golden."""
    found: list[Tensor] = []
    case = CASES[name]
    schedule = make_schedule(SCHEDULER, case["steps"], case["guidance"], "reference")
    noise = normals(SAMPLING["inputs"]["latents"])
    last = sample(velocity, noise, schedule, lambda _, latents: found.append(latents.clone()))
    assert torch.equal(last, found[-1]) and len(found) == case["steps"]
    return torch.stack(found)


@pytest.mark.parametrize("way", ["together", "in turn"])
@pytest.mark.parametrize("name", CASES)
def test_sampling_equals_the_published_program(name: str, way: str) -> None:
    model, (wanted, unwanted) = seeded_transformer(), golden_features()
    velocity = (
        guided_together(model, wanted, unwanted)
        if way == "together"
        else guided_in_turn(model, model, wanted, unwanted)
    )
    found = golden_latents(name, velocity)
    if name == "n10":  # Only its last latents were kept.
        found = found[-1:]
    assert largest(kept(found, 32), SAMPLING["out"][f"{name}_latents"]) <= 2e-4


@pytest.mark.shared
def test_whole_sampling_and_video(shared: Path, parts: Parts) -> None:
    model, features = parts.transformer, golden_features()
    with np.load(shared / "reference" / "vchitect2" / "golden_sampling.npz") as golden:
        for name in CASES:
            found = golden_latents(name, guided_together(model, *features))
            expected = golden[f"{name}_latents"]
            assert largest(found[-len(expected) :], expected) <= 2e-4, name
        last = golden_latents("n4", guided_together(model, *features))[-1][0]
        scale, shift = parts.vae.config.scaling_factor, parts.vae.config.shift_factor
        pixels = (parts.vae.decode(last / scale + shift).sample / 2 + 0.5).clamp(0, 1)
        assert largest(pixels, golden["n4_video"]) <= 1e-4
        frames = np.stack(list(Pipeline(parts, SMALL).frames(last)))
        differences = np.abs(frames.astype(int) - golden["n4_pil_u8"].astype(int))
    assert differences.max() <= 1 and (differences > 0).mean() < 1e-3


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_video_equals_the_published_program(parts: Parts, at_once: int) -> None:
    latents = golden_latents("n4", guided_together(parts.transformer, *golden_features()))[-1]
    pipeline = Pipeline(parts, SMALL, decode_frames=at_once)
    frames = torch.from_numpy(np.stack(list(pipeline.frames(latents[0]))))
    assert frames.shape == (5, 64, 96, 3)
    golden = torch.tensor(SAMPLING["out"]["n4_pil_u8"])
    differences = (kept(frames, 32) - golden).abs()
    assert float(differences.max()) <= 1 and int((differences > 0).sum()) <= 1


def test_autoencoder_equals_the_published_one() -> None:
    vae, golden = seeded_vae(), GOLDEN["vae"]
    latents = normals(golden["z"])
    pixels = torch.cat([vae.decode(frame[None]).sample for frame in latents])
    assert largest(kept(pixels, 48), golden["out"]["decoded"]) <= 5e-5
    assert largest(vae.decode(latents).sample, pixels) <= 5e-5
    found = vae.encode(normals(golden["x"]).clamp(-1, 1)).latent_dist
    assert largest(kept(found.mean, 48), golden["out"]["enc_mean"]) <= 5e-5
    assert largest(kept(found.logvar, 48), golden["out"]["enc_logvar"]) <= 5e-5


def test_pixels_round_to_the_nearest_byte() -> None:
    shares = torch.tensor([-5.0, -1.0, 0.0, 1.0, 5.0, 2 * 10.4 / 255 - 1, 2 * 10.6 / 255 - 1])
    (image,) = as_images(shares.expand(1, 3, 1, 7))
    assert image[0, :, 1].tolist() == [0, 0, 128, 255, 255, 10, 11]


def test_noise_is_that_of_the_seed_alone() -> None:
    alone = draw_noise([0], (5, 16, 8, 12), CPU, torch.float32)
    assert alone.flatten()[:8].tolist() == GOLDEN["noise_of_seed_0"]
    both = draw_noise([3, 0], (5, 16, 8, 12), CPU, torch.float32)
    assert torch.equal(both[1], alone[0]) and not torch.equal(both[0], alone[0])


@pytest.mark.parametrize("negatives", [(), ("blurry", "")])
def test_prompts_together_equal_prompts_alone(parts: Parts, negatives: tuple[str, ...]) -> None:
    pipeline = Pipeline(parts, replace(SMALL, steps=4, width=96, height=64))
    both = pipeline.latents(PROMPTS, [1, 2], negatives)
    for i in (0, 1):
        alone = pipeline.latents(PROMPTS[i : i + 1], [1 + i], negatives[i : i + 1])
        assert largest(both[i], alone[0]) <= 1e-4
    assert largest(both[0], both[1]) > 1


def test_the_negative_prompt_and_the_settings_matter(parts: Parts) -> None:
    def video(**changes: Any) -> Tensor:
        return Pipeline(parts, replace(SMALL, **changes)).latents(PROMPTS[:1], [1])

    plain = video()
    for name, value in {
        "negative_prompt": "blurry",
        "guidance": 3.0,
        "guidance_schedule": "cosine",
        "steps": 3,
        "frames": 2,
    }.items():
        other = video(**{name: value})
        assert other.shape != plain.shape or largest(other, plain) > 1e-3, name
    assert torch.equal(video(), plain)
    given = Pipeline(parts, SMALL).latents(PROMPTS[:1], [1], ["blurry"])
    assert torch.equal(given, video(negative_prompt="blurry"))


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_weak_guidance_asks_the_prompt_alone(parts: Parts, guidance: float) -> None:
    batches: list[int] = []
    hook = parts.transformer.proj_out.register_forward_hook(
        lambda _, inputs, __: batches.append(inputs[0].shape[1])
    )
    Pipeline(parts, replace(SMALL, guidance=guidance)).latents(PROMPTS, [1, 2])
    Pipeline(parts, SMALL).latents(PROMPTS, [1, 2])
    hook.remove()
    assert batches == [2, 2, 4, 4]


@pytest.mark.parametrize("steps", [1, 9, 40, 58, 80])
def test_step_counts_at_which_the_published_program_stops(
    parts: Parts, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a weight is exactly 1, which it takes for no guidance at all."""
    shapes: list[int] = []

    def forward(latents: Tensor, *_: Any, **__: Any) -> Tensor:
        shapes.append(len(latents))
        return latents / 2

    monkeypatch.setattr(parts.transformer, "forward", forward)
    seen: list[int] = []
    pipeline = Pipeline(parts, replace(SMALL, steps=steps))
    pipeline.latents(["x"], [0], on_step=lambda step, _: seen.append(step))
    assert seen == list(range(steps)) and shapes == [2] * steps


OTHER_PLANS = [plan for plan in PLANS if plan.offload in ("none", "sequential")][1:]


@pytest.mark.parametrize("plan", OTHER_PLANS, ids=str)
def test_every_plan_makes_the_same_video(parts: Parts, plan: Plan) -> None:
    settings = replace(SMALL, frames=5)
    expected = Pipeline(parts, settings).latents(PROMPTS[:1], [7])
    found = Pipeline(parts, settings, plan).latents(PROMPTS[:1], [7])
    assert largest(found, expected) <= 1e-4


def test_a_visiting_network_goes_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy stands for what another device would get; at the third tensor its memory is full."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    tensors = [*network.parameters(), *network.buffers()]
    homes = [tensor.data_ptr() for tensor in tensors]
    monkeypatch.setattr(Tensor, "to", lambda tensor, *_, **__: tensor.clone())
    with visiting(network, CPU):
        assert not {tensor.data_ptr() for tensor in tensors} & set(homes)
    assert [tensor.data_ptr() for tensor in tensors] == homes

    def full(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
        if tensor.data_ptr() == homes[2]:
            raise torch.OutOfMemoryError
        return tensor.clone()

    monkeypatch.setattr(Tensor, "to", full)
    with pytest.raises(torch.OutOfMemoryError), visiting(network, CPU):
        pass
    assert [tensor.data_ptr() for tensor in tensors] == homes


def test_latents_rounded_after_each_step_or_not(tiny_checkpoint: Path) -> None:
    def steps(latents: Any) -> list[Tensor]:
        found: list[Tensor] = []
        settings = replace(SMALL, dtype="bf16", latents=latents, steps=3)
        pipeline = load_pipeline(tiny_checkpoint, settings)
        last = pipeline.latents(PROMPTS[:1], [1], on_step=lambda _, step: found.append(step))
        assert last.dtype == torch.float32
        return found

    rounded, exact = steps("model"), steps("float32")
    assert {step.dtype for step in rounded} == {torch.bfloat16}
    assert not torch.equal(exact[-1], exact[-1].bfloat16().float())
    assert largest(rounded[-1].float(), exact[-1]) < 0.2 * float(exact[-1].std())


@pytest.mark.parametrize("branches", ["together", "in-turn"])
def test_reuse_is_off_by_default_and_skips_all_blocks_but_the_first(
    parts: Parts, branches: Any
) -> None:
    settings = replace(SMALL, steps=6, guidance=2.0, guidance_schedule="constant")
    calls = [0, 0]
    blocks = parts.transformer.transformer_blocks

    def count(number: int) -> Any:
        def hook(*_: Any) -> None:
            calls[number] += 1

        return blocks[-number].register_forward_hook(hook)

    hooks = [count(0), count(1)]

    def video(reuse: float) -> tuple[Tensor, int, int]:
        calls[:] = 0, 0
        plan = replace(PLANS[0], branches=branches)
        latents = Pipeline(parts, replace(settings, reuse=reuse), plan).latents(PROMPTS[:1], [1])
        return latents, *calls

    exact, first, last = video(0.0)
    assert first == last == (6 if branches == "together" else 12)
    same, *counts = video(1e-9)
    assert largest(same, exact) <= 1e-4 and counts == [first, last]
    reused, again, fewer = video(1.0)
    assert again == first and 0 < fewer < last
    assert 0 < largest(reused, exact) < 4 * float(exact.std())
    for hook in hooks:
        hook.remove()


def test_features_are_remembered(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def encode(prompts: list[str]) -> PromptFeatures:
        asked.extend(prompts)
        return parts.encode(prompts)

    monkeypatch.setattr(encode, "visitors", lambda: [], raising=False)
    pipeline = Pipeline(replace(parts, encode=encode), SMALL)  # type: ignore[arg-type]
    for seed in (1, 2):
        pipeline.latents(PROMPTS, [seed, seed + 10])
    assert sorted(asked) == sorted([*PROMPTS, ""])


def test_lack_of_memory_is_said_with_what_helps(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore")

    monkeypatch.setattr(parts.transformer, "forward", fail)
    monkeypatch.setattr(parts.vae, "decode", fail)
    pipeline = Pipeline(parts, SMALL)
    with pytest.raises(EnvironmentFault, match=r"out of memory .*blocks=pieces"):
        pipeline.latents(["a"], [1])
    with pytest.raises(EnvironmentFault, match="out of memory"):
        list(pipeline.frames(torch.zeros(1, 16, 4, 4)))


def test_what_cannot_be_made(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(parts, SMALL)
    for seed in (-1, 1 << 63):
        with pytest.raises(GenerationError, match="seed"):
            pipeline.latents(["a"], [seed])
    with pytest.raises(ValueError, match="one seed"):
        pipeline.latents(["a", "b"], [1])
    monkeypatch.setattr(parts.transformer, "forward", lambda latents, *_, **__: latents / 0)
    with pytest.raises(GenerationError, match="no finite"):
        pipeline.latents(["a"], [1])


@pytest.mark.slow
def test_compiled_blocks_make_the_same_video(tiny_checkpoint: Path) -> None:
    videos = [
        load_pipeline(tiny_checkpoint, SMALL, Machine(compile=compiled)).latents(PROMPTS[:1], [1])
        for compiled in ("off", "on")
    ]
    assert 0 <= largest(*videos) <= 1e-4
