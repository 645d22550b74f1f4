"""Several processes make one video: they share out its frames, the branches of guidance, or both.

**Frames.** Every process runs all blocks on its frames. Only two things cross frames:

- the cross branch asks the first frame's text keys and values, which its holder sends round:
  2 B S D numbers to each of the others, in every block;
- the temporal branch attends over frames. Queries, keys and values go from frames to token slots
  and the results back (two all-to-alls). Of f frames here and t token slots here a process sends
  3 f (T - t) D + (F - f) t D numbers, nearly 4 F T D / P for P processes. T is B L for video tokens
  in every block, and B S for text tokens in all but the first, where text is the same in every
  frame, and the last, where nobody reads it. For B 1, D 1536, bfloat16, 768x432 and 40 frames
  on 8 processes that is 88 MB for each block and process.

Frames and slots are dealt out evenly, the first processes getting one more where they do not
divide: nothing is padded. After the last block each process has every frame's velocity:
B f C H W numbers to each of the others, 0.8 MB above.

**Guidance.** One process (or half of them) predicts for the negative prompt, the other for the
prompt, and they swap velocities in every step: B F C H W numbers each way, 13 MB above in float32.

Shapes: F frames, B prompts, L video tokens of a frame, S text tokens, T token slots, H heads,
d numbers per head, D = H d; C channels of a latent, its height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vbench_long.errors import UsageError
from vbench_long.generators.vchitect2.attention import WholeVideo
from vbench_long.generators.vchitect2.sampling import Denoiser, Velocity, predict
from vbench_long.generators.vchitect2.text import PromptFeatures
from vbench_long.generators.vchitect2.transformer import Stack, Transformer

Parallel = Literal["none", "frames", "guidance", "both"]
BRANCHES = 2

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Line:
    """Connects processes that exchange tensors.

    Attributes:
        ranks: of these processes, among all.
        place: of this process, among these.
        group: the connection; None before there is one.
        sent: bytes that this process has sent to others.
    """

    ranks: tuple[int, ...]
    place: int
    group: dist.ProcessGroup | None = None
    sent: int = 0

    def from_first(self, tensor: Tensor) -> Tensor:
        """What the first process has, of the same shape as it is here."""
        told = tensor.clone(memory_format=torch.contiguous_format)
        self._broadcast(told, 0)
        return told

    def collected(self, part: Tensor, shares: Sequence[int]) -> Tensor:
        """The parts of all processes, `shares` rows each, in their order."""
        whole = part.new_empty(sum(shares), *part.shape[1:])
        for place, rows in enumerate(torch.split(whole, list(shares))):
            if place == self.place:
                rows.copy_(part)
            self._broadcast(rows, place)
        return whole

    def swapped(self, sent: Tensor, to: Sequence[int], received: Sequence[int]) -> Tensor:
        """A flat tensor cut into pieces for each process -> theirs for this one.

        Args:
            sent: the pieces, one after the other.
            to: numbers in the piece for each process.
            received: numbers in the piece from each.
        """
        found = sent.new_empty(sum(received))
        dist.all_to_all_single(found, sent, list(received), list(to), group=self.group)
        self.sent += (sent.numel() - to[self.place]) * sent.itemsize
        return found

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def least(self, tensor: Tensor) -> Tensor:
        """The smallest of all processes'."""
        return self._reduced(tensor, dist.ReduceOp.MIN)

    def _reduced(self, tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        found = tensor.clone()
        dist.all_reduce(found, operation, group=self.group)
        self.sent += found.numel() * found.itemsize
        return found

    def _broadcast(self, tensor: Tensor, place: int) -> None:
        dist.broadcast(tensor, self.ranks[place], group=self.group)
        if place == self.place:
            self.sent += (len(self.ranks) - 1) * tensor.numel() * tensor.itemsize


@dataclass(frozen=True, slots=True)
class Team:
    """With whom this process shares a video.

    Attributes:
        frames: those that have its other frames; None if all are here.
        branches: those that predict for the negative prompt, and the prompt; None if one does both.
    """

    frames: Line | None = None
    branches: Line | None = None

    def most_frames(self, total: int) -> int:
        """Of a video of `total` frames, what the busiest process has."""
        return shares(total, len(self.frames.ranks))[0] if self.frames else total

    def least(self, number: int, device: torch.device) -> int:
        """The smallest of what the processes say."""
        found = torch.tensor(number, device=device)
        for line in (self.frames, self.branches):
            found = line.least(found) if line else found
        return int(found)


ALONE = Team()


def shares(count: int, parts: int) -> tuple[int, ...]:
    """`count` things dealt out to `parts`, the first getting one more where it must be."""
    return tuple(count // parts + (part < count % parts) for part in range(parts))


def layout(parallel: Parallel, processes: int, frames: int, guidance: float) -> tuple[int, int]:
    """Parts of the frames and branches of guidance that `processes` can share out.

    Raises:
        UsageError: they cannot; what they can is named.
    """
    branches = 1 if parallel == "frames" else BRANCHES
    parts, rest = divmod(processes, branches)
    where = f"parallel={parallel} of vchitect2"
    if branches > 1 and guidance <= 1:
        raise UsageError(
            f"guidance={guidance:g} has one branch", where, "use parallel=frames or guidance > 1"
        )
    if rest or not parts:
        raise UsageError(f"{processes} processes are no pairs", where, "start an even number")
    if parallel == "guidance" and parts > 1:
        raise UsageError(
            f"{processes} processes for two branches", where, "start 2, or use parallel=both"
        )
    if parts > frames:
        raise UsageError(
            f"{processes} processes are too many for {frames} frames",
            where,
            f"start {frames * branches} at most",
        )
    return parts, branches


def eager(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, which compilers leave alone."""
    disable: Callable[..., Callable[P, T]] = torch.compiler.disable
    return disable(function)


@dataclass(frozen=True, slots=True)
class SharedFrames:
    """Some frames are here, the others with other processes.

    Attributes:
        total: frames of the whole video, at least one for each process.
        line: to the other processes.
    """

    total: int
    line: Line

    @property
    def shares(self) -> tuple[int, ...]:
        """How many frames each process has."""
        return shares(self.total, len(self.line.ranks))

    @property
    def numbers(self) -> range:
        """Of the frames here."""
        start = sum(self.shares[: self.line.place])
        return range(start, start + self.shares[self.line.place])

    @eager
    def of_first(self, tensor_FBSHd: Tensor) -> Tensor:
        """What the video's first frame has: (F, B, S, H, d) of those here -> (B, S, H, d)."""
        return self.line.from_first(tensor_FBSHd[0])

    @eager
    def attend(self, q_FBLHd: Tensor, k_FBLHd: Tensor, v_FBLHd: Tensor) -> Tensor:
        """Every token slot attends over all frames: (F, B, L, D) of those here."""
        count, prompts, length, heads, size = q_FBLHd.shape
        dim = heads * size
        slots = shares(prompts * length, len(self.line.ranks))
        mine = slots[self.line.place]

        # Frames come before slots in every piece, so what arrives is one video in order.
        sent = q_FBLHd.new_empty(3 * q_FBLHd.numel())
        starts = [0, *accumulate(slots)]
        qkv = [tensor.flatten(1, 2) for tensor in (q_FBLHd, k_FBLHd, v_FBLHd)]
        to = [3 * count * slot * dim for slot in slots]
        for start, slot, piece in zip(starts, slots, torch.split(sent, to), strict=False):
            part = [tensor_FTHd[:, start : start + slot] for tensor_FTHd in qkv]
            torch.stack(part, 1, out=piece.view(count, 3, slot, heads, size))
        found = self.line.swapped(sent, to, [3 * share * mine * dim for share in self.shares])
        del sent

        qkv_F31tHd = found.view(self.total, 3, 1, mine, heads, size)
        whole = WholeVideo(self.total)
        out_F1tD = whole.attend(*qkv_F31tHd.unbind(1)) if mine else found
        back = [count * slot * dim for slot in slots]
        found = self.line.swapped(
            out_F1tD.flatten(), [share * mine * dim for share in self.shares], back
        )
        pieces = [
            piece.view(count, slot, dim)
            for piece, slot in zip(torch.split(found, back), slots, strict=True)
        ]
        return torch.cat(pieces, 1).view(count, prompts, length, dim)

    @eager
    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of what each part of the video has."""
        return self.line.summed(tensor)

    def here(self, latents_BFCHW: Tensor) -> Tensor:
        """Of the whole video, what is here."""
        return latents_BFCHW[:, self.numbers.start : self.numbers.stop]

    def collected(self, latents_BFCHW: Tensor) -> Tensor:
        """Of what is here and elsewhere, the whole video."""
        return self.line.collected(latents_BFCHW.transpose(0, 1), self.shares).transpose(0, 1)


def over_frames(transformer: Transformer, line: Line, stack: Stack) -> Denoiser:
    """A transformer that is given whole videos, and works on the frames of its place in `line`."""

    def denoise(
        latents_BFCHW: Tensor, timestep_B: Tensor, text_BSE: Tensor, pooled_BP: Tensor
    ) -> Tensor:
        frames = SharedFrames(latents_BFCHW.shape[1], line)
        here = frames.here(latents_BFCHW)
        return frames.collected(transformer(here, timestep_B, text_BSE, pooled_BP, frames, stack))

    return denoise


def guided_apart(denoise: Denoiser, line: Line, features: PromptFeatures) -> Velocity:
    """Negative prompts with the first process of a line, prompts with the second, at once.

    Args:
        denoise: for the prompts, or negative prompts, of this process.
        line: between the two.
        features: of the prompts, or negative prompts, of this process.
    """

    def velocity(latents: Tensor, timestep: float, weight: float) -> Tensor:
        ours = predict(denoise, latents, timestep, features)
        away, towards = line.collected(ours[None], (1, 1)).unbind()
        return away + weight * (towards - away)

    return velocity
