"""AMT-S: the frame half-way between two frames.

Li, Zhu, Han, Hou, Guo, Cheng, "AMT: All-Pairs Multi-Field Transforms for Efficient Frame
Interpolation", CVPR 2023. Published checkpoint: `amt-s.pth` (its entry `state_dict`), 3.0 M
parameters.

Licence: the published weights are CC BY-NC 4.0, for noncommercial use only. They are not part of
this package; whoever fetches them does so under those terms.

Never in bfloat16: predicted frames would be off by almost two grey levels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    compiled,
    frames_TCHW,
    require_sides,
    strict_load,
    whole_edges,
)
from vbench_long.errors import VideoError
from vbench_long.products import products
from vbench_long.video import Frame
from vbench_long.weights.base import Weights

Both: TypeAlias = tuple[Tensor, ...]
"""The same of the first frames and of the second frames."""

Motion: TypeAlias = tuple[Tensor, Tensor]
"""Flow from the frame to be made to the first and to the second frame (x, y, x, y), in pixels:
(N, 4, H, W); and features of that frame: (N, C, H, W)."""


@dataclass(frozen=True, slots=True)
class AmtSettings:
    """The size of the network, and how it is used.

    Attributes:
        channels: of the picture features at 1/2, 1/4, 1/8 and 1/16 of the size.
        decoder: inner channels of the decoders, from the finest to the coarsest.
        side: channels of a decoder that get convolutions of their own.
        compared: channels of the features that are correlated.
        levels: of the correlations; the last is one position wide below padded sides of 128.
        radius: of the window in which correlations are read.
        fields: flow fields that are blended into the result.
        multiple: frames are padded to sides that are multiples of this.
        cpu_part_bytes: correlations computed together; about what caches hold.
        gpu_part_bytes: the same on an accelerator, where large parts are faster.
    """

    channels: tuple[int, int, int, int] = (20, 32, 44, 56)
    decoder: tuple[int, int, int, int] = (60, 96, 132, 112)
    side: int = 20
    compared: int = 84
    levels: int = 4
    radius: int = 3
    fields: int = 3
    multiple: int = 16
    cpu_part_bytes: int = 1 << 24
    gpu_part_bytes: int = 1 << 28


class AmtS(TorchBackbone):
    """How far a frame is from what AMT-S makes of its neighbours, in grey levels 0..255.

    The prediction is truncated to whole grey levels as published. Feature: mean absolute
    difference over all pixels and channels at the original size; 0 for a perfect prediction.
    """

    settings = AmtSettings()
    gpu_batch = 4
    efficiency = 0.52

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        with torch.device("meta"):
            net = AmtNetwork(self.settings)
        self.net = strict_load(net, weights, "amt_s")
        self.net.to(memory_format=torch.channels_last).to(compute.device)  # A tenth less time.
        for name in ("update4", "update3", "update2"):
            setattr(self.net, name, compiled(getattr(self.net, name), compute))

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Items (before, middle, after) of one size -> (N,).

        Raises:
            VideoError: frames are smaller than 113 x 113 pixels, or the network made no number.
        """
        before, middle, after = zip(*items, strict=True)
        predicted_N3HW = self.predict(before, after)
        if not predicted_N3HW.isfinite().all():
            raise VideoError("AMT-S made no finite frame", "", "check the amt_s checkpoint")
        levels_N3HW = (predicted_N3HW * 255).to(torch.uint8).short()
        middle_N3HW = frames_TCHW(middle, self.compute.device).short()
        return (levels_N3HW - middle_N3HW).abs().double().mean((1, 2, 3))

    def rehearse(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> object:
        """See `TorchBackbone`."""
        before, _, after = zip(*items, strict=True)
        return self.predict(before, after)

    def predict(self, before: Sequence[Frame], after: Sequence[Frame]) -> Tensor:
        """The frames half-way: (N, 3, H, W) in 0..1, at the size of the frames."""
        height, width = before[0].rgb.shape[:2]
        smallest = 8 * 2**self.settings.levels - self.settings.multiple + 1
        require_sides(height, width, smallest, "AMT-S")
        left, _, top, _ = edges = whole_edges(height, width, self.settings.multiple)
        first_N3HW, second_N3HW = (
            F.pad(frames_TCHW(frames, self.compute.device) / 255, edges, mode="replicate")
            for frames in (before, after)
        )
        middle_N3HW: Tensor = self.net(first_N3HW, second_N3HW)
        return middle_N3HW[..., top : top + height, left : left + width]


class AmtNetwork(nn.Module):
    """The network; its parts bear the names of the published checkpoint."""

    def __init__(self, settings: AmtSettings) -> None:
        super().__init__()
        self.settings = settings
        c1, c2, c3, c4 = settings.channels
        d1, d2, d3, d4 = settings.decoder
        side, mixed = settings.side, 3 * settings.fields
        read = 2 * settings.levels * (2 * settings.radius + 1) ** 2
        self.feat_encoder = feature_encoder(settings.compared)
        steps = (3, c1), (c1, c2), (c2, c3), (c3, c4)
        halve = [nn.Sequential(conv_prelu(a, b, 2), conv_prelu(b, b)) for a, b in steps]
        self.encoder = nn.ModuleDict({f"pyramid{i}": part for i, part in enumerate(halve, 1)})
        self.decoder4 = decoder(2 * c4 + 1, d4, 4 + c3, side)
        self.decoder3 = decoder(3 * c3 + 4, d3, 4 + c2, side)
        self.decoder2 = decoder(3 * c2 + 4, d2, 4 + c1, side)
        self.decoder1 = decoder(3 * c1 + 4, d1, 8 * settings.fields, side)
        self.update4 = Update(read, c3)
        self.update3 = Update(read, c2)
        self.update2 = Update(read, c1)
        self.comb_block = nn.Sequential(
            conv(mixed, 2 * mixed, 3), nn.PReLU(2 * mixed), conv(2 * mixed, 3, 3)
        )

    def forward(self, first_N3HW: Tensor, second_N3HW: Tensor) -> Tensor:
        """Frames in 0..1, sides multiples of 16 -> the frame half-way, 0..1."""
        mean_N111 = torch.cat([first_N3HW, second_N3HW], 1).mean((1, 2, 3), keepdim=True)
        first_N3HW, second_N3HW = first_N3HW - mean_N111, second_N3HW - mean_N111
        frames_M3HW = torch.cat([first_N3HW, second_N3HW])
        pictures = self.pictures(frames_M3HW)
        *_, half = self.motions(frames_M3HW, pictures)
        recipes = self.recipes(half, pictures[0])
        drafts = [
            share_N1HW * warped(first_N3HW, to_first_N2HW)
            + (1 - share_N1HW) * warped(second_N3HW, to_second_N2HW)
            + (mean_N111 + rest_N3HW)
            for to_first_N2HW, to_second_N2HW, share_N1HW, rest_N3HW in recipes
        ]
        detail_N3HW: Tensor = self.comb_block(torch.cat(drafts, 1))
        return (torch.stack(drafts).mean(0) + detail_N3HW).clamp(0, 1)

    def pictures(self, frames_M3HW: Tensor) -> list[Both]:
        """Features of both frames at 1/2, 1/4, 1/8 and 1/16 of the size."""
        levels = [frames_M3HW]
        for halve in self.encoder.values():
            levels.append(halve(levels[-1]))
        return [level_MCHW.chunk(2) for level_MCHW in levels[1:]]

    def motions(self, frames_M3HW: Tensor, pictures: Sequence[Both]) -> list[Motion]:
        """What moves, at 1/8, 1/4 and 1/2 of the size."""
        alike = Correlations(self.feat_encoder(frames_M3HW).chunk(2), self.settings)
        half_way_N1HW = torch.full_like(pictures[3][0][:, :1], 0.5)
        decoded_NCHW = self.decoder4(torch.cat([*pictures[3], half_way_N1HW], 1))
        eighth = corrected((decoded_NCHW[:, :4], decoded_NCHW[:, 4:]), self.update4, alike, 1)
        quarter = corrected(finer(eighth, self.decoder3, pictures[2]), self.update3, alike, 2)
        half = corrected(finer(quarter, self.decoder2, pictures[1]), self.update2, alike, 4)
        return [eighth, quarter, half]

    def recipes(self, half: Motion, pictures: Both) -> list[tuple[Tensor, ...]]:
        """Ways to put the frame together, from motion and pictures at 1/2 of the size.

        Each is flow into the first and into the second frame (N, 2, H, W), share of the first
        frame (N, 1, H, W), and colours to add (N, 3, H, W).
        """
        k = self.settings.fields
        decoded_NCHW = self.decoder1(seen_along(half, pictures))
        to_first, to_second, share, rest = torch.split(decoded_NCHW, [2 * k, 2 * k, k, 3 * k], 1)
        flow_N4HW = 2 * scaled(half[0], 2)
        to_first_NCHW = to_first + flow_N4HW[:, :2].repeat(1, k, 1, 1)
        to_second_NCHW = to_second + flow_N4HW[:, 2:].repeat(1, k, 1, 1)
        kinds = to_first_NCHW, to_second_NCHW, share.sigmoid(), rest
        return list(zip(*(kind_NCHW.chunk(k, 1) for kind_NCHW in kinds), strict=True))


def finer(motion: Motion, decode: nn.Module, pictures: Both) -> Motion:
    """Motion at twice the size, from the pictures at the size it has."""
    decoded_NCHW = decode(seen_along(motion, pictures))
    return decoded_NCHW[:, :4] + 2 * scaled(motion[0], 2), decoded_NCHW[:, 4:]


def seen_along(motion: Motion, pictures: Both) -> Tensor:
    """What a decoder is shown: features, both pictures moved along the flow, the flow."""
    flow_N4HW, hidden_NCHW = motion
    moved = map(warped, pictures, flow_N4HW.chunk(2, 1))
    return torch.cat([hidden_NCHW, *moved, flow_N4HW], 1)


def corrected(motion: Motion, update: nn.Module, alike: Correlations, factor: int) -> Motion:
    """Motion, at `factor` times the size of the correlations, after a look at these."""
    flow_N4HW, hidden_NCHW = motion
    flow_N4hw = scaled(flow_N4HW, 1 / factor) / factor
    hidden_NChw = scaled(hidden_NCHW, 1 / factor)
    more_flow_N4hw, more_hidden_NChw = update(hidden_NChw, flow_N4hw, alike.along(flow_N4hw))
    return (
        flow_N4HW + factor * scaled(more_flow_N4hw, factor),
        hidden_NCHW + scaled(more_hidden_NChw, factor),
    )


def scaled(images_NCHW: Tensor, factor: float) -> Tensor:
    """Images at `factor` times the size."""
    return F.interpolate(images_NCHW, scale_factor=factor, mode="bilinear", align_corners=False)


def warped(image_NCHW: Tensor, flow_N2HW: Tensor) -> Tensor:
    """The image as seen along the flow; beyond its border the border goes on."""
    height, width = image_NCHW.shape[-2:]
    x_W = torch.linspace(-1, 1, width, device=image_NCHW.device)
    y_H = torch.linspace(-1, 1, height, device=image_NCHW.device)
    x_NHW = x_W + flow_N2HW[:, 0] * (2 / (width - 1))
    y_NHW = y_H[:, None] + flow_N2HW[:, 1] * (2 / (height - 1))
    place_NHW2 = torch.stack([x_NHW, y_NHW], 3)
    return F.grid_sample(image_NCHW, place_NHW2, padding_mode="border", align_corners=True)


class Correlations:
    """Scalar products of each position's features with those around a place in the other frame.

    A pyramid of products (each the mean of 2 x 2 of the level below) equals products with a pyramid
    of features. So any part can be had alone, and all, 5.6 GB for a frame of 1080p, never are.
    """

    def __init__(self, features: Both, settings: AmtSettings) -> None:
        self._first, self._second = ([level_NCHW] for level_NCHW in features)
        for pyramid in (self._first, self._second):
            for _ in range(settings.levels - 1):
                pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        steps = torch.arange(-settings.radius, settings.radius + 1.0, device=features[0].device)
        # The slow axis of the window runs along x.
        self._window_TT2 = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), 2)
        on_cpu = steps.device.type == "cpu"
        self._part_bytes = settings.cpu_part_bytes if on_cpu else settings.gpu_part_bytes

    def along(self, flow_N4HW: Tensor) -> Tensor:
        """Products around where the flow leads, both ways: (N, 2 * levels * window, H, W).

        The flow starts half-way, so it counts twice from frame to frame.
        """
        to_first_N2HW, to_second_N2HW = (2 * flow_N4HW).chunk(2, 1)
        forth_NCHW = self._around(self._first[0], self._second, to_second_N2HW)
        back_NCHW = self._around(self._second[0], self._first, to_first_N2HW)
        return torch.cat([forth_NCHW, back_NCHW], 1)

    def _around(self, here_NCHW: Tensor, there: Sequence[Tensor], flow_N2HW: Tensor) -> Tensor:
        count, channels, height, width = here_NCHW.shape
        y_H, x_W = (torch.arange(side, device=flow_N2HW.device) for side in (height, width))
        start_2HW = torch.stack(torch.meshgrid(x_W, y_H, indexing="xy"))
        centre_NQ2 = (start_2HW + flow_N2HW).flatten(2).mT
        here_NQC = (here_NCHW / math.sqrt(channels)).flatten(2).mT
        row_bytes = 4 * count * sum(level.shape[2] * level.shape[3] for level in there)
        rows = max(1, self._part_bytes // row_bytes)
        parts = zip(torch.split(here_NQC, rows, 1), torch.split(centre_NQ2, rows, 1), strict=True)
        read_NQT = torch.cat([self._read(here, there, centre) for here, centre in parts], 1)
        return read_NQT.mT.reshape(count, -1, height, width)

    def _read(self, here_NqC: Tensor, there: Sequence[Tensor], centre_Nq2: Tensor) -> Tensor:
        """(N, q, levels * window); beyond the border products are 0."""
        windows = []
        for level, there_NChw in enumerate(there):
            height, width = there_NChw.shape[2:]
            products_NqP = products(here_NqC, there_NChw.flatten(2).mT)
            products_M1hw = products_NqP.view(-1, 1, height, width)
            place_MTT2 = centre_Nq2.reshape(-1, 1, 1, 2) / 2**level + self._window_TT2
            place_MTT2 = 2 * place_MTT2 / place_MTT2.new_tensor([width - 1, height - 1]) - 1
            window_M1TT = F.grid_sample(products_M1hw, place_MTT2, align_corners=True)
            windows.append(window_M1TT.view(*here_NqC.shape[:2], -1))
        return torch.cat(windows, 2)


def feature_encoder(out: int) -> nn.Sequential:
    """Frames -> features to be correlated, at 1/8 of the size."""
    parts = {
        "conv1": conv(3, 32, 7, 2),
        "norm1": nn.InstanceNorm2d(32),
        "relu1": nn.ReLU(),
        "layer1": nn.Sequential(Bottleneck(32, 32), Bottleneck(32, 32)),
        "layer2": nn.Sequential(Bottleneck(32, 64, 2), Bottleneck(64, 64)),
        "layer3": nn.Sequential(Bottleneck(64, 96, 2), Bottleneck(96, 96)),
        "conv2": conv(96, out, 1),
    }
    return nn.Sequential(OrderedDict(parts))


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions, each normalised per picture."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(channels, out // 4, 1)
        self.conv2 = conv(out // 4, out // 4, 3, stride)
        self.conv3 = conv(out // 4, out, 1)
        shortcut = [conv(channels, out, 1, stride), nn.InstanceNorm2d(out)] if stride > 1 else []
        self.downsample = nn.Sequential(*shortcut)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H / stride, W / stride)."""
        y_NCHW, skipped_NCHW = x_NCHW, self.downsample(x_NCHW)
        for convolve in (self.conv1, self.conv2, self.conv3):
            y_NCHW = F.instance_norm(convolve(y_NCHW)).relu()
        return F.relu(y_NCHW + skipped_NCHW)


def decoder(channels: int, inner: int, out: int, side: int) -> nn.Sequential:
    """Features -> features and flow at twice the size."""
    doubled = nn.ConvTranspose2d(inner, out, 4, 2, 1)
    parts = nn.Sequential(conv_prelu(channels, inner), SideBlock(inner, side), doubled)
    return nn.Sequential(OrderedDict(convblock=parts))


class SideBlock(nn.Module):
    """Residual block whose last `side` channels get two convolutions of their own."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.split = [channels - side, side]
        self.conv1 = conv_prelu(channels, channels)
        self.conv2 = conv_prelu(side, side)
        self.conv3 = conv_prelu(channels, channels)
        self.conv4 = conv_prelu(side, side)
        self.conv5 = conv(channels, channels, 3)
        self.prelu = nn.PReLU(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        main_NCHW, side_NCHW = torch.split(self.conv1(x_NCHW), self.split, 1)
        y_NCHW = self.conv3(torch.cat([main_NCHW, self.conv2(side_NCHW)], 1))
        main_NCHW, side_NCHW = torch.split(y_NCHW, self.split, 1)
        y_NCHW = self.conv5(torch.cat([main_NCHW, self.conv4(side_NCHW)], 1))
        return F.prelu(x_NCHW + y_NCHW, self.prelu.weight)


class Update(nn.Module):
    """Corrections of features and flow, from the correlations read along the flow."""

    def __init__(self, read: int, hidden: int) -> None:
        super().__init__()
        self.convc1 = conv(read, 64, 1)
        self.convf1 = conv(4, 40, 7)
        self.convf2 = conv(40, 20, 3)
        self.conv = conv(64 + 20, 68, 3)
        self.gru = conv_leaky_conv(68 + 4 + hidden, 76)
        self.feat_head = conv_leaky_conv(76, hidden)
        self.flow_head = conv_leaky_conv(76, 4)

    def forward(self, hidden_NCHW: Tensor, flow_N4HW: Tensor, alike_NCHW: Tensor) -> Motion:
        """What is to be added to the flow (N, 4, H, W) and to the features (N, hidden, H, W)."""
        alike_NCHW = leaky(self.convc1(alike_NCHW))
        motion_NCHW = leaky(self.convf2(leaky(self.convf1(flow_N4HW))))
        motion_NCHW = leaky(self.conv(torch.cat([alike_NCHW, motion_NCHW], 1)))
        joint_NCHW = self.gru(torch.cat([motion_NCHW, flow_N4HW, hidden_NCHW], 1))
        return self.flow_head(joint_NCHW), self.feat_head(joint_NCHW)


def conv(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution that keeps the size, but for the stride."""
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2)


def conv_prelu(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution and a slope per channel."""
    return nn.Sequential(conv(channels, out, 3, stride), nn.PReLU(out))


def conv_leaky_conv(channels: int, out: int) -> nn.Sequential:
    """Two 3x3 convolutions, nothing after the second."""
    return nn.Sequential(conv(channels, 76, 3), nn.LeakyReLU(0.1), conv(76, out, 3))


def leaky(x: Tensor) -> Tensor:
    """x, or x / 10 where that is negative."""
    return F.leaky_relu(x, 0.1)
