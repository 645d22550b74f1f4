"""From noise to latents: seeded noise, guidance, Euler steps along the predicted velocity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from vbench_long.generators.vchitect2.schedule import Schedule
from vbench_long.generators.vchitect2.text import PromptFeatures, joined

Velocity: TypeAlias = Callable[[Tensor, float, float], Tensor]
"""(latents (B, F, C, H, W), timestep, weight of the prompt) -> their velocity, in their dtype."""

OnStep: TypeAlias = Callable[[int, Tensor], None]
"""Called after each step with its number, from 0, and the latents."""


class Denoiser(Protocol):
    """A transformer, or something that stands for it."""

    def __call__(
        self, latents_BFCHW: Tensor, timestep_B: Tensor, text_BSE: Tensor, pooled_BP: Tensor, /
    ) -> Tensor:
        """The velocity of the latents under one prompt each."""
        ...


def draw_noise(
    seeds: Sequence[int], shape: tuple[int, ...], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Standard normal numbers for each seed: (B, *shape), drawn on `device` in `dtype`.

    Those of the CPU in float32 are the same on every machine; those of other devices and dtypes
    are not. A seed's numbers do not depend on the seeds beside it.
    """
    noise = [
        torch.randn(
            shape,
            generator=torch.Generator(device).manual_seed(seed),
            device=device,
            dtype=dtype,
        )
        for seed in seeds
    ]
    return torch.stack(noise)


def unguided(denoise: Denoiser, wanted: PromptFeatures) -> Velocity:
    """The velocity under the prompts alone; weights do not matter."""

    def velocity(latents: Tensor, timestep: float, weight: float) -> Tensor:
        return _predict(denoise, latents, timestep, wanted)

    return velocity


def guided_together(
    denoise: Denoiser, wanted: PromptFeatures, unwanted: PromptFeatures
) -> Velocity:
    """Prompts and negative prompts as one batch: fastest where memory allows."""
    both = joined([unwanted, wanted])

    def velocity(latents: Tensor, timestep: float, weight: float) -> Tensor:
        doubled = torch.cat([latents, latents])
        away, towards = _predict(denoise, doubled, timestep, both).chunk(2)
        return away + weight * (towards - away)

    return velocity


def guided_in_turn(
    denoise: Denoiser, denoise_unwanted: Denoiser, wanted: PromptFeatures, unwanted: PromptFeatures
) -> Velocity:
    """Prompts after negative prompts: half the memory.

    Args:
        denoise: for the prompts.
        denoise_unwanted: for the negative prompts. It is another one if a denoiser remembers
            earlier steps.
        wanted: features of the prompts.
        unwanted: features of the negative prompts.
    """

    def velocity(latents: Tensor, timestep: float, weight: float) -> Tensor:
        away = _predict(denoise_unwanted, latents, timestep, unwanted)
        towards = _predict(denoise, latents, timestep, wanted)
        return away + weight * (towards - away)

    return velocity


def _predict(
    denoise: Denoiser, latents: Tensor, timestep: float, features: PromptFeatures
) -> Tensor:
    """The transformer computes in the dtype of its features; guidance in that of the latents."""
    time_B = torch.full((len(latents),), timestep, device=latents.device)
    inputs = latents.to(features.text_BSE.dtype)
    return denoise(inputs, time_B, features.text_BSE, features.pooled_BP).to(latents.dtype)


def sample(
    velocity: Velocity, noise: Tensor, schedule: Schedule, on_step: OnStep | None = None
) -> Tensor:
    """Latents free of noise, in the dtype of `noise`.

    In float32 the steps add up without loss. In bfloat16 latents are rounded after each, as in the
    published program.
    """
    latents = noise
    sigmas = torch.tensor(schedule.sigmas, dtype=torch.float32)
    for number, change in enumerate(sigmas.diff().tolist()):
        step = velocity(latents, schedule.timesteps[number], schedule.weights[number])
        latents = (latents.float() + change * step).to(noise.dtype)
        if on_step:
            on_step(number, latents)
    return latents
