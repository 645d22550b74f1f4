"""Small worlds of processes, and what the tests of sharing Vchitect-2.0 have them do."""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vchitect2_cases import TINY, normals, seeded_transformer

from vbench_long.errors import VBenchLongError
from vbench_long.generators import GENERATORS, Request
from vbench_long.generators.vchitect2.crew import join_crew
from vbench_long.generators.vchitect2.loading import load_pipeline
from vbench_long.generators.vchitect2.options import Machine, Settings
from vbench_long.generators.vchitect2.parallel import Parallel, over_frames
from vbench_long.generators.vchitect2.transformer import Block, Stack

CPU = torch.device("cpu")
WORDS = 7
FAILING_CALL = 6 + 2  # A video of one step takes two predictions of three blocks.


def world(size: int, jobs: Sequence[Callable[[], Any]], folder: Path) -> list[list[Any]]:
    """What `size` processes return from each of `jobs`, or the error they end in: [rank][job]."""
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    ports = [_free_port() for _ in jobs]
    processes = [
        context.Process(target=_process, args=(rank, size, jobs, ports, folder))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    assert not alive, "a process waits for ever"
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _process(
    rank: int, size: int, jobs: Sequence[Callable[[], Any]], ports: Sequence[int], folder: Path
) -> None:
    torch.set_num_threads(1)
    found: list[Any] = []
    for job, port in zip(jobs, ports, strict=True):
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        try:
            found.append(job())
        except (VBenchLongError, SystemExit) as error:
            found.append(type(error)(*error.args))  # As new: nothing hangs on it.
        gc.collect()  # The crew of this job, which an error may refer to, leaves.
    torch.save(found, folder / f"{rank}.pt")


def inputs(frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents, time, text and pooled text of two prompts."""
    return (
        normals([1, [2, frames, 16, 4, 6]]),
        torch.tensor([500.0, 500.0]),
        normals([2, [2, WORDS, TINY.joint_attention_dim]]),
        normals([3, [2, TINY.pooled_projection_dim]]),
    )


def forward(frames: int, stack: Stack) -> tuple[Tensor, int]:
    """The velocity by all processes, and the bytes this one has sent for it."""
    crew, model = join_crew(), seeded_transformer()
    team = crew.team("frames", frames, 7.5, CPU)
    with crew.together(), torch.inference_mode():
        assert team.frames
        found = over_frames(model, team.frames, stack)(*inputs(frames))
        sent = team.frames.sent
    return found, sent


def latents(root: Path, parallel: Parallel, settings: Settings) -> Tensor:
    """Latents of a video that all processes make."""
    crew = join_crew()
    with crew.together():
        team = crew.team(parallel, settings.frames, settings.guidance, CPU)
    with crew.together():
        found = load_pipeline(root, settings, Machine(), team).latents(["a cat"], [3], ["blurry"])
    return found


def videos(options: dict[str, str], failing: int) -> list[Any]:
    """A video; one that cannot be made; one that a process fails at; the first once more.

    Process `failing` is out of memory in the middle of the third.
    """
    calls, whole = [0], Block.forward

    def forward(self: Block, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == FAILING_CALL:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return whole(self, *args)

    if os.environ["RANK"] == str(failing):
        Block.forward = forward  # type: ignore[method-assign]
    try:
        generator = GENERATORS.get("vchitect2")(options)
        return [_video(generator, seed) for seed in (3, -1, 1000, 3)]
    finally:
        Block.forward = whole  # type: ignore[method-assign]


def _video(generator: Any, seed: int) -> Any:
    try:
        return np.stack(list(generator.generate(Request("a cat", seed))))
    except VBenchLongError as error:
        return type(error)(*error.args)
