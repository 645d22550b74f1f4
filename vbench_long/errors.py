"""The few errors a user can meet: each says what happened, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class VBenchLongError(Exception):
    """A failure a user can act on.

    Attributes:
        what: what went wrong, one clause.
        where: the file, video, prompt or option it concerns; may be empty.
        fix: what to do about it; may be empty.
    """

    exit_code = 3

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        where = f" [{self.where}]" if self.where else ""
        fix = f"; {self.fix}" if self.fix else ""
        return " ".join(f"{self.what}{where}{fix}".split())


class UsageError(VBenchLongError):
    """The command line, a manifest or a suite asks for something that does not exist."""

    exit_code = 2


class VideoError(VBenchLongError):
    """A video cannot be opened, decoded or judged; costs its own rows only."""

    exit_code = 3


class GenerationError(VBenchLongError):
    """A generator could not make a sample; costs its own rows only."""

    exit_code = 3


class RunError(VBenchLongError):
    """A run folder is damaged, holds another protocol, or is incomplete."""

    exit_code = 3


class EnvironmentFault(VBenchLongError):
    """The machine: a full disk, a read-only folder, a missing device or checkpoint."""

    exit_code = 4


@contextmanager
def disk_faults(what: str, where: Path, fix: str) -> Iterator[None]:
    """Turn what the disk says into an `EnvironmentFault`: "`what` (No space left on device)"."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault(f"{what} ({reason})", str(error.filename or where), fix) from error
