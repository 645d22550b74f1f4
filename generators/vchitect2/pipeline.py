"""Text to video: prompts to features, noise to latents, latents to frames.

Shapes: B prompts, F frames, C channels of a latent; heights and widths in latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from vbench_long.errors import EnvironmentFault, GenerationError
from vbench_long.generators.vchitect2.cost import PIXELS_PER_LATENT, PLANS, Plan
from vbench_long.generators.vchitect2.image import fitted, image_latents
from vbench_long.generators.vchitect2.options import Settings
from vbench_long.generators.vchitect2.parallel import ALONE, Team, guided_apart, over_frames
from vbench_long.generators.vchitect2.sampling import (
    Denoiser,
    OnStep,
    Velocity,
    draw_noise,
    guided_in_turn,
    guided_together,
    sample,
    unguided,
)
from vbench_long.generators.vchitect2.schedule import make_schedule
from vbench_long.generators.vchitect2.stacks import Fetched, FirstBlockReuse, in_pieces, visiting
from vbench_long.generators.vchitect2.text import PromptEncoder, PromptFeatures, joined
from vbench_long.generators.vchitect2.transformer import Stack, Transformer, in_order
from vbench_long.video import Image

CPU = torch.device("cpu")
REMEMBERED = 64  # Prompts whose features are kept: the samples of a prompt follow each other.


@dataclass(frozen=True, slots=True)
class Parts:
    """The networks of a checkpoint, frozen.

    Attributes:
        transformer: predicts velocities; its dtype is that of all between text and pixels.
        vae: latents to pixels.
        scheduler: knows the noise levels.
        encode: prompts to features.
    """

    transformer: Transformer
    vae: AutoencoderKL
    scheduler: FlowMatchEulerDiscreteScheduler
    encode: PromptEncoder


class Pipeline:
    """Makes videos of one kind.

    Args:
        parts: the networks; those that `plan` takes off the device when idle are on the CPU.
        settings: what the videos are like.
        plan: how it is done.
        device: where networks work.
        decode_frames: frames decoded at once.
        estimate: bytes on the device at most.
        team: processes that share its videos; each of them calls `latents` with the same arguments
            and gets the same latents.
        leaner: what to try where the memory does not suffice.

    Attributes:
        device: where networks work.
        estimate: bytes on the device at most; 0 if nobody estimated.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        plan: Plan = PLANS[0],
        device: torch.device = CPU,
        decode_frames: int = 4,
        estimate: int = 0,
        team: Team = ALONE,
        leaner: str = "blocks=pieces, branches=in-turn, offload=sequential, or fewer frames",
    ) -> None:
        self.device, self.estimate, self._leaner = device, estimate, leaner
        self._parts, self._settings, self._plan = parts, settings, plan
        self._decode_frames, self._team = decode_frames, team
        self._dtype = parts.transformer.proj_out.weight.dtype
        self._known: dict[str, PromptFeatures] = {}

    @torch.inference_mode()
    def latents(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        negative_prompts: Sequence[str] = (),
        on_step: OnStep | None = None,
        images: Sequence[Image] = (),
    ) -> Tensor:
        """Latents of one video per prompt and seed, (B, F, C, H, W), float32.

        A video depends on its own prompt and seed only (up to rounding).

        Args:
            prompts: what the videos show.
            seeds: 0 .. 2**63 - 1, one per prompt.
            negative_prompts: what they do not show; those of the settings if empty.
            on_step: called after every step.
            images: first frames, (height, width, 3) uint8 RGB; experimental, see `image.py`.

        Raises:
            GenerationError: a seed out of range, no such image, or latents that are no finite
                numbers.
            EnvironmentFault: the memory does not suffice.
        """
        settings, config = self._settings, self._parts.transformer.config
        for seed in seeds:
            if not 0 <= seed < 1 << 63:
                raise GenerationError(f"seed {seed} is not possible", "", "give 0 .. 2**63 - 1")
        if {len(seeds), len(negative_prompts or prompts), len(images or prompts)} != {len(prompts)}:
            raise ValueError("one seed, and one negative prompt or image if any, for each prompt")
        height, width = (side // PIXELS_PER_LATENT for side in (settings.height, settings.width))
        shape = (settings.frames, config.in_channels, height, width)
        on_device = settings.noise == "device"
        noise = draw_noise(
            seeds,
            shape,
            self.device if on_device else CPU,
            self._dtype if on_device else torch.float32,
        )
        dtype = self._dtype if settings.latents == "model" else torch.float32
        schedule = make_schedule(
            self._parts.scheduler, settings.steps, settings.guidance, settings.guidance_schedule
        )
        with memory_faults(self._leaner):
            negatives = negative_prompts or [settings.negative_prompt] * len(prompts)
            velocity = self._velocity(prompts, negatives)
            first = self._first_frames(images) if images else None
            with self._at_work(*self._denoising_modules()):
                latents = sample(velocity, noise.to(self.device, dtype), schedule, on_step, first)
        if not latents.isfinite().all():
            raise GenerationError(
                "the latents are no finite numbers", prompts[0], "try dtype=fp32 or latents=float32"
            )
        return latents.float()

    @torch.inference_mode()
    def frames(self, latents_FCHW: Tensor) -> Iterator[Image]:
        """The frames of one video, each (8 H, 8 W, 3) uint8 RGB.

        Raises:
            EnvironmentFault: the memory does not suffice.
        """
        vae = self._parts.vae
        scale, shift = vae.config.scaling_factor, vae.config.shift_factor
        with memory_faults(self._leaner), self._at_work(vae):
            for part_NCHW in torch.split(latents_FCHW, self._decode_frames):
                unscaled_NCHW = (part_NCHW / scale + shift).to(self.device, vae.dtype)
                yield from as_images(vae.decode(unscaled_NCHW).sample)

    def _velocity(self, prompts: Sequence[str], negatives: Sequence[str]) -> Velocity:
        if line := self._team.branches:
            ours = self._features((negatives, prompts)[line.place])
            return guided_apart(self._denoiser(), line, ours)
        wanted = self._features(prompts)
        if self._settings.guidance <= 1:
            return unguided(self._denoiser(), wanted)
        unwanted = self._features(negatives)
        if self._plan.branches == "together":
            return guided_together(self._denoiser(), wanted, unwanted)
        return guided_in_turn(self._denoiser(), self._denoiser(), wanted, unwanted)

    def _denoiser(self) -> Denoiser:
        stack: Stack = in_pieces if self._plan.blocks == "pieces" else in_order
        if self._plan.offload == "sequential":
            stack = Fetched(self.device, stack)
        if self._settings.reuse:
            stack = FirstBlockReuse(self._settings.reuse, stack)
        if self._team.frames:
            return over_frames(self._parts.transformer, self._team.frames, stack)
        return partial(self._parts.transformer, stack=stack)

    def _denoising_modules(self) -> list[nn.Module]:
        """What must be on the device for all of sampling."""
        transformer = self._parts.transformer
        if self._plan.offload != "sequential":
            return [transformer]
        return [
            part for part in transformer.children() if part is not transformer.transformer_blocks
        ]

    def _first_frames(self, images: Sequence[Image]) -> Tensor:
        """Pictures as latents on the device, (B, C, H, W)."""
        settings, vae = self._settings, self._parts.vae
        try:
            frames = [fitted(image, settings.width, settings.height) for image in images]
        except ValueError as error:
            raise GenerationError(f"the image cannot be used ({error})", "", "") from error
        with self._at_work(vae):
            return image_latents(vae, torch.cat(frames)).to(self.device)

    def _features(self, prompts: Sequence[str]) -> PromptFeatures:
        """Features on the device; each prompt by itself, so that none depends on its company."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            with self._at_work(*self._parts.encode.visitors()):
                self._known |= {
                    prompt: self._parts.encode([prompt]).to(CPU, self._dtype) for prompt in new
                }
        found = joined([self._known[prompt] for prompt in prompts])
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return found.to(self.device, self._dtype)

    @contextmanager
    def _at_work(self, *modules: nn.Module) -> Iterator[None]:
        """Have `modules` on the device."""
        with ExitStack() as visits:
            for module in modules:
                visits.enter_context(visiting(module, self.device))
            yield


def as_images(pixels_N3HW: Tensor) -> Iterator[Image]:
    """Pixels of -1 .. 1 as frames, (H, W, 3) uint8."""
    shares_N3HW = (pixels_N3HW.float() / 2 + 0.5).clamp(0, 1)
    bytes_NHW3 = (shares_N3HW * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    yield from bytes_NHW3.contiguous().cpu().numpy()


@contextmanager
def memory_faults(leaner: str) -> Iterator[None]:
    """Say what helps when the memory does not suffice.

    Args:
        leaner: what takes less.

    Raises:
        EnvironmentFault: instead of the library's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate" not in str(error):
            raise
        raise EnvironmentFault(
            f"out of memory ({str(error).splitlines()[0][:120]})",
            "vchitect2",
            f"less memory: {leaner or 'a smaller size'}",
        ) from error
