"""The processes of a `torchrun`: the first is asked for videos, the others help it with each.

They go through the same work at the same time, and succeed or fail together: what goes wrong in
one is the one error of all, said by the first.
"""

from __future__ import annotations

import logging
import os
import traceback
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist

from vbench_long.errors import EnvironmentFault, UsageError, VBenchLongError
from vbench_long.generators.base import Request
from vbench_long.generators.vchitect2.parallel import Line, Parallel, Team, layout

LOG = logging.getLogger("vbench_long")
PATIENCE = timedelta(days=30)  # Between two videos the first process may judge for hours.


@dataclass(frozen=True, slots=True)
class _Report:
    """How a process fared.

    Attributes:
        error: what went wrong, if anything did.
        cut_off: it is another process that went wrong.
    """

    error: VBenchLongError | None = None
    cut_off: bool = False


class Crew:
    """All processes, as one of them sees them.

    Attributes:
        rank: of this process; 0 is the first.
        size: how many there are.
        leave: to be called when there is no more to do; done by itself at the end of the program.
    """

    def __init__(self, rank: int, size: int, local_rank: int) -> None:
        self.rank, self.size, self._local_rank = rank, size, local_rank
        begun = not dist.is_initialized()
        if begun:
            dist.init_process_group("gloo", rank=rank, world_size=size)
        # For words; tensors have lines of their own, which may be cut.
        words = dist.new_group(backend="gloo", timeout=PATIENCE)
        self._words = cast(dist.ProcessGroup, words)
        self._backend = "gloo"
        self._lines: list[tuple[list[tuple[int, ...]], Line]] = []
        # The first process lets the others go when nobody uses its crew any more, or at exit.
        self.leave = weakref.finalize(self, _leave, self._words, rank, begun)

    def team(self, parallel: Parallel, frames: int, guidance: float, device: torch.device) -> Team:
        """With whom this process shares videos; connected when work begins.

        Raises:
            UsageError: these processes cannot share such a video.
            EnvironmentFault: not enough devices, or of a kind that cannot exchange tensors.
        """
        parts, branches = layout(parallel, self.size, frames, guidance)
        if device.type == "cuda":
            if self._local_rank >= torch.cuda.device_count():
                raise EnvironmentFault(
                    f"more processes than GPUs, {torch.cuda.device_count()}",
                    f"parallel={parallel} of vchitect2",
                    "start one for each GPU",
                )
            torch.cuda.set_device(self._local_rank)
            self._backend = "nccl"
        elif device.type != "cpu":
            raise EnvironmentFault(
                f"devices of kind {device.type} cannot exchange tensors", "", "use cuda or cpu"
            )
        rows = [tuple(range(b * parts, (b + 1) * parts)) for b in range(branches)]
        return Team(
            self._line(rows) if parallel != "guidance" else None,
            self._line(list(zip(*rows, strict=True))) if branches > 1 else None,
        )

    def _line(self, groups: list[tuple[int, ...]]) -> Line:
        (ranks,) = [group for group in groups if self.rank in group]
        line = Line(ranks, ranks.index(self.rank))
        self._lines.append((groups, line))
        return line

    @contextmanager
    def asked(self, request: Request) -> Iterator[None]:
        """In the first process: have the others work on a request, together with this one.

        Raises:
            VBenchLongError: see `together`.
        """
        _say(request, self._words)
        with self.together():
            yield

    def requests(self) -> Iterator[Request]:
        """In the other processes: what the first is asked for, until it leaves, or dies."""
        with suppress(RuntimeError):
            while request := _say(None, self._words):
                yield request
        self.leave()

    @contextmanager
    def together(self) -> Iterator[None]:
        """All processes come out of this alike.

        Raises:
            VBenchLongError: what went wrong in one of them first, the same in all.
        """
        self._connect()
        report = _Report()
        try:
            yield
        except VBenchLongError as error:
            report = _Report(error)
            self._cut(error)
        except RuntimeError as error:
            report = _Report(self._fault(error), _is_cut_off(error))
            LOG.debug("process %d", self.rank, exc_info=error)
            self._cut(error)
        if report.error and self._backend == "nccl" and not report.cut_off:
            LOG.error("process %d: %s", self.rank, report.error)  # NCCL may keep the others busy.
        if worst := self._first_error(self._reports(report)):
            raise worst

    def _connect(self) -> None:
        for groups, line in self._lines:
            if line.group is None:
                made = [dist.new_group(list(ranks), backend=self._backend) for ranks in groups]
                line.group = cast(dist.ProcessGroup, made[groups.index(line.ranks)])

    def _cut(self, error: BaseException) -> None:
        """Have those who wait for this process on a line fail too: a closed line wakes them."""
        link: BaseException | None = error
        while link:  # A line is closed when nothing refers to it, an error's frames included.
            traceback.clear_frames(link.__traceback__)
            link = link.__cause__ or link.__context__
        for _, line in self._lines:
            if line.group is not None:
                dist.destroy_process_group(line.group)
                line.group = None

    def _reports(self, report: _Report) -> list[_Report]:
        reports = [report] * self.size
        try:
            dist.all_gather_object(reports, report, group=self._words)
        except RuntimeError as error:
            raise EnvironmentFault(
                "a process ended without a word", "parallel vchitect2", "see its messages"
            ) from error
        return reports

    def _first_error(self, reports: Sequence[_Report]) -> VBenchLongError | None:
        failed = [rank for rank, report in enumerate(reports) if report.error]
        for rank in sorted(failed, key=lambda rank: reports[rank].cut_off):
            error = reports[rank].error
            assert error
            if rank == 0:
                return error
            where = ", ".join(filter(None, (error.where, f"process {rank}")))
            return type(error)(error.what, where, error.fix)
        return None

    def _fault(self, error: RuntimeError) -> EnvironmentFault:
        line = next(iter(str(error).splitlines()), "")
        return EnvironmentFault(f"{type(error).__name__}: {line[:200]}", "vchitect2", "see -v")


def join_crew() -> Crew:
    """Meet the other processes of this `torchrun`.

    Raises:
        UsageError: there is no `torchrun`.
    """
    try:
        rank, size, local_rank = (
            int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        )
    except (KeyError, ValueError):
        raise UsageError(
            "this is one process, and sharing a video takes several",
            "parallel of vchitect2",
            "start them with `torchrun --nproc-per-node N -m vbench_long ...`",
        ) from None
    return Crew(rank, size, local_rank)


def _say(request: Request | None, words: dist.ProcessGroup) -> Request | None:
    """The first process's request, in all."""
    said = [request]
    dist.broadcast_object_list(said, src=0, group=words)
    return said[0]


def _leave(words: dist.ProcessGroup, rank: int, begun: bool) -> None:
    if rank == 0:
        with suppress(RuntimeError):  # They may have gone.
            _say(None, words)
    if begun and dist.is_initialized():
        dist.destroy_process_group()


def _is_cut_off(error: RuntimeError) -> bool:
    """Whether an exchange broke off because of another process."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
