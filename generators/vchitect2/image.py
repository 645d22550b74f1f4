"""Experimental: a video that starts from a given picture.

No weights for it were published; the model was trained to make videos from text alone. What is
done here needs none: throughout sampling the first frame is held at the picture, as noisy as all
frames are at that step, and the others are drawn towards it by attention over time. At the end the
first frame is the picture as the autoencoder renders it. How well the rest follows is unproven.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL
from torch import Tensor

from vbench_long.video import Image


def fitted(image: Image, width: int, height: int) -> Tensor:
    """A picture as a frame: (1, 3, height, width), -1 .. 1, float32, on the CPU.

    It is scaled, in proportion, until it just covers the frame (bicubic, antialiased), and what
    sticks out is cut off evenly on both sides.

    Args:
        image: (any height, any width, 3) uint8 RGB.
        width: pixels.
        height: pixels.

    Raises:
        ValueError: it is no such picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8" or not image.size:
        raise ValueError(f"{image.dtype} of shape {image.shape} is no RGB picture in bytes")
    pixels_13HW = torch.tensor(image).permute(2, 0, 1)[None].float()
    rows, columns = image.shape[:2]
    scale = max(width / columns, height / rows)
    size = max(height, round(rows * scale)), max(width, round(columns * scale))
    if size != (rows, columns):
        pixels_13HW = F.interpolate(pixels_13HW, size, mode="bicubic", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    frame_13HW = pixels_13HW[:, :, top : top + height, left : left + width]
    return frame_13HW.clamp(0, 255) / 127.5 - 1


def image_latents(vae: AutoencoderKL, frames_B3HW: Tensor) -> Tensor:
    """Frames as the transformer sees them, free of noise: (B, C, H / 8, W / 8), float32.

    The most likely latents, not drawn ones: the same picture gives the same numbers.
    """
    encoded: Tensor = vae.encode(frames_B3HW.to(vae.device, vae.dtype)).latent_dist.mode()
    latents: Tensor = (encoded.float() - vae.config.shift_factor) * vae.config.scaling_factor
    return latents


def noised(latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """Latents with a share `sigma` of noise, as on the straight way between the two."""
    return (1 - sigma) * latents + sigma * noise
