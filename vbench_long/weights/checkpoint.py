"""What is known of a published checkpoint, and of a place it may lie at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Url:
    """A checkpoint published at a web address.

    Attributes:
        address: https address of the file, or of a zip that holds it.
        members: names inside the zip, any of which is the checkpoint; empty when the address is
            the checkpoint itself.
    """

    address: str
    members: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of the downloaded file."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Hub:
    """A checkpoint published in a repository of the Hugging Face Hub.

    Another file name than `Checkpoint.file` means a conversion: the same numbers, says who made it.

    Attributes:
        repo: owner and name.
        file: path inside the repository.
        revision: branch, tag or commit.
        sha256: of a conversion, leading digits; empty if nobody published any.
    """

    repo: str
    file: str
    revision: str = "main"
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One published set of weights, or list of words.

    Attributes:
        name: what backbones ask for.
        file: path below a folder of checkpoints; the published file name.
        published: where it can be had, the authors' own place first.
        licence: SPDX identifier, or a sentence.
        commercial: whether the licence allows commercial use.
        dimensions: who waits for it.
        sha256: as many leading digits as are known; empty if nobody published any.
        size: bytes; 0 if unknown.
        cache_paths: where other programs keep it; the first part says below what: ``vbench``
            (VBench's cache), ``torch`` (torch.hub's), ``cache`` (``~/.cache``).
        entry: key of the state dict inside the stored dictionary; empty if it is the whole.
        prefix: may stand before every key, and is dropped then.
        settings_file: JSON beside the checkpoint that says how it was trained; may be absent.
        settings: what that file must say, because the network takes it for granted.
        note: what else a user should know.
    """

    name: str
    file: str
    published: tuple[Url | Hub, ...]
    licence: str
    commercial: bool
    dimensions: tuple[str, ...]
    sha256: str = ""
    size: int = 0
    cache_paths: tuple[str, ...] = ()
    entry: str = ""
    prefix: str = ""
    settings_file: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A place a checkpoint may lie at.

    Attributes:
        path: the file.
        member: name inside it if it is a zip; else empty.
        sha256: leading digits the content's checksum must have; empty if none are known.
        size: bytes the file must have; 0 if unknown.
    """

    path: Path
    member: str = ""
    sha256: str = ""
    size: int = 0

    def __str__(self) -> str:
        return f"{self.path}, {self.member}" if self.member else str(self.path)
