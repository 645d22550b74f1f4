"""How noisy the latents are at each step, and how strongly the prompt steers them there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from diffusers import FlowMatchEulerDiscreteScheduler


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps from noise to data.

    Attributes:
        timesteps: what the transformer is told, 1000 (noise) downwards.
        sigmas: share of noise before each step, and 0 after the last.
        weights: of the prompt at each step; 1 is the prompt's own velocity, more exaggerates
            what tells it from the negative prompt's.
    """

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]
    weights: tuple[float, ...]


def reference_weight(guidance: float, step: int, steps: int, timestep: float) -> float:
    """The published program's weight, 1 .. 1 + guidance.

    It takes the timestep (1000 .. 9) for the number of the step, so that the phase of its cosine
    turns many times and the weights look like chance; the published scores were made with them.
    They need the exact timesteps in double precision: the last bit of a timestep shows.
    """
    progress = (steps - timestep) / steps
    return 1 + guidance * (1 - math.cos(math.pi * progress**5)) / 2


def constant_weight(guidance: float, step: int, steps: int, timestep: float) -> float:
    """The same weight at every step: classifier-free guidance as in most models."""
    return guidance


def cosine_weight(guidance: float, step: int, steps: int, timestep: float) -> float:
    """What the published formula seems to mean: 1 at first, nearly 1 + guidance at last."""
    return 1 + guidance * (1 - math.cos(math.pi * (step / steps) ** 5)) / 2


GUIDANCE: Mapping[str, Callable[[float, int, int, float], float]] = {
    "reference": reference_weight,
    "constant": constant_weight,
    "cosine": cosine_weight,
}


def make_schedule(
    scheduler: FlowMatchEulerDiscreteScheduler, steps: int, guidance: float, kind: str
) -> Schedule:
    """The schedule of a sampling of `steps` steps.

    Args:
        scheduler: as the checkpoint has it; it says which noise levels.
        steps: how many.
        guidance: strength; what it means is up to `kind`.
        kind: a name of `GUIDANCE`.
    """
    scheduler.set_timesteps(steps)
    timesteps = tuple(scheduler.timesteps.tolist())
    weight = GUIDANCE[kind]
    weights = tuple(weight(guidance, i, steps, t) for i, t in enumerate(timesteps))
    return Schedule(timesteps, tuple(scheduler.sigmas.tolist()), weights)
