"""Videos that cannot be made, and calls that end in the middle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from generation_cases import Fake, Register, contents, fake, faked, hidden, read, rows

from vbench_long.errors import EnvironmentFault, GenerationError
from vbench_long.evaluation.generation import generate
from vbench_long.evaluation.video_folder import sidecar_of
from vbench_long.generators import Request
from vbench_long.video import Image

__all__ = ["fake"]

# --- failures --------------------------------------------------------------------------------


def broken(self: Fake, request: Request) -> Iterator[Image]:
    """Each prompt fails in its own way."""
    good = list(Fake.images(self, request))
    yield good[0]
    match request.prompt:
        case "own":
            raise GenerationError("too odd", "here", "ask for less")
        case "foreign":
            raise ConnectionError("no route to host")
        case "sizes":
            yield good[0][:8]
        case "floats":
            yield good[0].astype(np.float32)
    yield from good[1:]


REASONS = {
    "own": r"too odd \[here\]; ask for less",
    "foreign": r"the generator failed \(ConnectionError: no route to host\)",
    "sizes": r"frame 1 is 16x8, the first 16x16",
    "floats": r"frame 1 is float32 of shape \(16, 16, 3\)",
    "empty": "no frame to write",
    "odd": "libx264 refuses these frames",
    "at once": r"ValueError: planted",
}


@pytest.fixture
def failing(fake: Register) -> type[Fake]:
    def generate_(self: Fake, request: Request) -> Iterator[Image]:
        if request.prompt == "at once":
            raise ValueError("planted")
        if request.prompt == "empty":
            return iter(())
        if request.prompt == "odd":
            return iter([np.zeros((15, 17, 3), np.uint8)] * 3)
        return broken(self, request)

    return fake(generate=generate_)


def test_a_failure_costs_its_own_video_and_is_tried_again(
    tmp_path: Path, failing: type[Fake], fake: Register
) -> None:
    prompts = [*REASONS, "fine"]
    done = generate(faked(tmp_path, *prompts))
    assert (done.made, len(done.failures)) == (1, len(REASONS))
    names = {row["prompt"]: row["path"] for row in rows(tmp_path)}
    for prompt, reason in REASONS.items():
        assert re.search(reason, done.failures[names[prompt]]), done.failures[names[prompt]]
        assert ".partial" not in done.failures[names[prompt]]
        assert not (tmp_path / names[prompt]).exists()
        assert not sidecar_of(tmp_path / names[prompt]).exists()
    about = read(tmp_path / "generation.json")
    assert about["counts"] == {"made": 1, "failed": len(REASONS), "missing": 0}
    assert {f["video"]: f["reason"] for f in about["failures"]} == done.failures
    assert hidden(tmp_path) == set()
    fake()
    healed = generate(faked(tmp_path, *prompts))
    assert (healed.made, healed.there, healed.failures) == (len(REASONS), 1, {})
    assert read(tmp_path / "generation.json")["failures"] == []


def test_a_failure_is_on_record_before_the_next_video(tmp_path: Path, fake: Register) -> None:
    found: list[str] = []

    def act(self: Fake, request: Request) -> None:
        if request.prompt == "a":
            raise GenerationError("too odd")
        about = read(tmp_path / "generation.json")
        found.extend(failure["reason"] for failure in about["failures"])

    fake(act=act)
    generate(faked(tmp_path, "a", "b"))
    assert found == ["too odd"]


def test_a_machine_that_cannot_go_on_ends_the_call(tmp_path: Path, fake: Register) -> None:
    def act(self: Fake, request: Request) -> None:
        if request.prompt == "b":
            raise EnvironmentFault("out of memory", "", "ask for fewer frames")

    fake(act=act)
    with pytest.raises(EnvironmentFault, match="out of memory"):
        generate(faked(tmp_path))
    about = read(tmp_path / "generation.json")
    assert about["status"] == "interrupted"
    assert about["counts"] == {"made": 1, "failed": 0, "missing": 2}


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupt_in_the_middle_leaves_whole_videos_only(
    tmp_path: Path, fake: Register, at: int
) -> None:
    def images(self: Fake, request: Request) -> Iterator[Image]:
        for number, image in enumerate(Fake.images(self, request)):
            if request.prompt == "b" and number == at:
                raise KeyboardInterrupt
            yield image

    fake(images=images)
    with pytest.raises(KeyboardInterrupt):
        generate(faked(tmp_path))
    assert len(list(tmp_path.glob("*.mp4"))) == 1 and hidden(tmp_path) == set()
    fake()
    assert generate(faked(tmp_path)).made == 2
    generate(faked(tmp_path / "whole"))
    assert contents(tmp_path) == contents(tmp_path / "whole")


def test_a_video_appears_after_what_is_said_of_it(
    tmp_path: Path, fake: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that ends between the two writes leaves no video of unknown origin."""
    import vbench_long.evaluation.video_folder as module

    write = module.write_atomically

    def ends(path: Path, content: str | bytes) -> None:
        if path.name not in ("generation.json", "manifest.csv"):
            raise KeyboardInterrupt
        write(path, content)

    fake()
    monkeypatch.setattr(module, "write_atomically", ends)
    with pytest.raises(KeyboardInterrupt):
        generate(faked(tmp_path))
    assert not list(tmp_path.glob("*.mp4"))
    monkeypatch.setattr(module, "write_atomically", write)
    assert generate(faked(tmp_path)).made == 3


def test_what_a_killed_call_left_is_cleared_away(tmp_path: Path, fake: Register) -> None:
    fake()
    generate(faked(tmp_path, "a"))
    for name in (".video.partial.mp4", "..video.partial.partial.mp4", ".x.json.partial"):
        (tmp_path / name).write_bytes(b"half")
    generate(faked(tmp_path, "a"))
    assert hidden(tmp_path) == set()
