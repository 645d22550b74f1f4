"""RAFT: how far things move between two frames.

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020. Published
checkpoint: `raft-things.pth` (trained on FlyingChairs and FlyingThings3D), 5.3 M parameters, loaded
into torchvision's `raft_large`, which computes the same numbers.

Two savings change no number: the feature encoder runs once per frame instead of twice, and the
full-size flow is made once, after the last of the 20 iterations.

Never in bfloat16: the flow would be off by up to a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.optical_flow import raft_large  # type: ignore[import-untyped]

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    compiled,
    frames_TCHW,
    require_sides,
    strict_load,
    whole_edges,
)
from vbench_long.video import Frame
from vbench_long.weights.base import Weights


@dataclass(frozen=True, slots=True)
class RaftSettings:
    """How the network is used.

    Attributes:
        iterations: corrections of the flow.
        multiple: frames are padded to sides that are multiples of this.
        smallest: shortest padded side; below, the coarsest correlations are one position wide.
        shares: of the flow vectors, longest first, whose mean length is a feature.
        volume_bytes: the correlations of the pairs computed together stay below this, or are
            those of a single pair.
    """

    iterations: int = 20
    multiple: int = 8
    smallest: int = 128
    shares: tuple[float, ...] = (0.05, 0.02)
    volume_bytes: int = 4 << 30


class Raft(TorchBackbone):
    """Lengths of the longest flow vectors between two frames, in pixels.

    Feature: (mean length of the longest 5 % of flow vectors, of the longest 2 %). As published,
    the vectors are those of the frame padded to multiples of 8.
    """

    settings = RaftSettings()
    gpu_batch = 8
    efficiency = 0.68

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        with torch.device("meta"):
            net = raft_large(weights=None, progress=False)
        self.net = strict_load(net, weights, "raft_things", published_key, (r".*\.norm3\..*",))
        self.net.to(compute.device)
        self._update = compiled(self.net.update_block, compute)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Items (frame, frame) of one size -> (N, 2).

        Raises:
            VideoError: frames are smaller than 121 x 121 pixels, or the network made no number.
        """
        height, width = items[0][0].rgb.shape[:2]
        require_sides(height, width, self.settings.smallest - self.settings.multiple + 1, "RAFT")
        places = prod(ceil(side / self.settings.multiple) for side in (height, width))
        together = max(1, self.settings.volume_bytes // (4 * places**2))
        lengths_NS = torch.cat(
            [
                top_lengths(self.flow(items[start : start + together]), self.settings.shares)
                for start in range(0, len(items), together)
            ]
        )
        return lengths_NS

    def flow(self, pairs: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Flow from the first to the second frame of each pair: (N, 2, H, W), padded, in pixels."""
        flow_N2hw, state_NChw = self.coarse_flow(pairs)
        return upsampled(flow_N2hw, self.net.mask_predictor(state_NChw))

    def coarse_flow(self, pairs: Sequence[tuple[Frame, ...]]) -> tuple[Tensor, Tensor]:
        """Flow at 1/8 of the size, in pixels of that size, and the state it was made from."""
        correlation, update = self.net.corr_block, self.net.update_block
        first_NChw, second_NChw = (
            torch.cat([self._encoded(frame) for frame in side]) for side in zip(*pairs, strict=True)
        )
        correlation.build_pyramid(first_NChw, second_NChw)
        context_NChw = self.net.context_encoder(
            torch.cat([self._padded(first) for first, _ in pairs])
        )
        state_NChw = context_NChw[:, : update.hidden_state_size].tanh()
        context_NChw = context_NChw[:, update.hidden_state_size :].relu()
        y_h, x_w = (torch.arange(float(n), device=first_NChw.device) for n in first_NChw.shape[2:])
        start_2hw = torch.stack(torch.meshgrid(x_w, y_h, indexing="xy"))
        target_N2hw = start_2hw.repeat(len(pairs), 1, 1, 1)
        for _ in range(self.settings.iterations):
            alike_NChw = correlation.index_pyramid(target_N2hw)
            state_NChw, step_N2hw = self._update(
                state_NChw, context_NChw, alike_NChw, target_N2hw - start_2hw
            )
            target_N2hw = target_N2hw + step_N2hw
        correlation.corr_pyramid = []  # The largest tensors of all would live until the next call.
        return target_N2hw - start_2hw, state_NChw

    def _encoded(self, frame: Frame) -> Tensor:
        """The features of a frame, made once for all of its pairs: (1, 256, h, w).

        They live as long as the frame does: 5.5 MB at 480p, 15 MB at 720p, 33 MB at 1080p.
        """
        encoded: Tensor = frame.derive(
            (self, "features"), lambda _: self.net.feature_encoder(self._padded(frame))
        )
        return encoded

    def _padded(self, frame: Frame) -> Tensor:
        """Pixels in -1..1, edges repeated on all sides up to multiples of 8: (1, 3, H, W)."""
        frame_13HW = 2 * (frames_TCHW([frame], self.compute.device) / 255) - 1
        height, width = frame_13HW.shape[-2:]
        edges = whole_edges(height, width, self.settings.multiple)
        return F.pad(frame_13HW, edges, mode="replicate")


def upsampled(flow_N2hw: Tensor, mask_NMhw: Tensor) -> Tensor:
    """Flow at eight times the size, in pixels of that size: (N, 2, 8 h, 8 w).

    Each fine vector is a mean of the 3 x 3 coarse vectors around it, with weights from the mask.
    """
    h, w = flow_N2hw.shape[-2:]
    weights_N1988hw = mask_NMhw.view(-1, 1, 9, 8, 8, h, w).softmax(2)
    around_N2911hw = F.unfold(8 * flow_N2hw, 3, padding=1).view(-1, 2, 9, 1, 1, h, w)
    fine_N288hw = (weights_N1988hw * around_N2911hw).sum(2)
    return fine_N288hw.permute(0, 1, 4, 2, 5, 3).reshape(-1, 2, 8 * h, 8 * w)


def top_lengths(flow_N2HW: Tensor, shares: Sequence[float]) -> Tensor:
    """Mean length of the longest `shares` of the flow vectors: (N, shares)."""
    length_NP = flow_N2HW.square().sum(1).sqrt().flatten(1)
    counts = [max(1, int(share * length_NP.shape[1])) for share in shares]
    longest_NK = length_NP.topk(max(counts)).values.double()
    return torch.stack([longest_NK[:, :count].mean(1) for count in counts], 1)


_PUBLISHED = (
    (r"^feature_encoder", "fnet"),
    (r"^context_encoder", "cnet"),
    (r"net\.conv\.", "net.conv2."),
    (r"convnormrelu\.0", "conv1"),
    (r"convnormrelu\.1", "norm1"),
    (r"convnormrelu(\d)\.0", r"conv\1"),
    (r"convnormrelu(\d)\.1", r"norm\1"),
    (r"motion_encoder\.conv\.0", "encoder.conv"),
    (r"motion_encoder\.conv([cf])[a-z]+(\d)\.0", r"encoder.conv\1\2"),
    (r"recurrent_block\.convgru(\d)\.conv([zrq])", r"gru.conv\2\1"),
    (r"mask_predictor\.convrelu\.0", "update_block.mask.0"),
    (r"mask_predictor\.conv", "update_block.mask.2"),
)
"""torchvision's names, as patterns, and the published ones, applied in this order."""


def published_key(key: str) -> str:
    """Key of torchvision's state dict -> key of the published checkpoint."""
    for pattern, name in _PUBLISHED:
        key = re.sub(pattern, name, key)
    return f"module.{key}"
