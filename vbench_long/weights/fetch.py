"""Where checkpoints lie on this machine, whether they are whole, and how to get them."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from vbench_long import __version__
from vbench_long.errors import EnvironmentFault, disk_faults
from vbench_long.weights.catalog import FOLDER_VARIABLE, cache_folder, candidates, from_hub
from vbench_long.weights.checkpoint import Checkpoint, Found, Hub, Url

LOG = logging.getLogger("vbench_long")

_SECURE = ("https://",)  # One place, so that tests can add a server on the loopback.
_LIMIT = 5 << 30  # No published checkpoint or zip is larger.
_CHUNK = 1 << 20
_TIMEOUT = 60.0
_ATTEMPTS = 5
_PAUSE = 1.0
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)


class _PullFailed(Exception):
    """One published place did not give the checkpoint."""


def locate(checkpoint: Checkpoint, folder: Path | None = None) -> Found:
    """The first whole copy on this machine.

    Raises:
        EnvironmentFault: there is none; says where was looked, how to get it, who waits for it.
        UsageError: the folder does not exist.
    """
    places = candidates(checkpoint, folder)
    found, damaged = first_whole(places)
    if found is not None:
        return found
    hubs = [f"the cached {p.repo}" for p in checkpoint.published if isinstance(p, Hub)]
    state = f"damaged ({'; '.join(damaged)})" if damaged else "not on this machine"
    raise EnvironmentFault(
        f"checkpoint {checkpoint.name} ({checkpoint.file}) is {state}, and"
        f" {', '.join(checkpoint.dimensions)} cannot do without it",
        f"looked at {'; '.join(dict.fromkeys([*map(str, places), *hubs]))}",
        f"get it with `vbench-long weights pull {checkpoint.name}`, or name a folder that has it"
        f" with --weights or {FOLDER_VARIABLE}",
    )


def first_whole(places: Iterable[Found]) -> tuple[Found | None, list[str]]:
    """The first place with a whole file, and what is wrong with the damaged ones before it."""
    damaged: list[str] = []
    for place in places:
        if is_there(place):
            why = damage(place)
            if not why:
                return place, damaged
            damaged.append(f"{place}: {why}")
            LOG.warning("passed over %s", damaged[-1])
    return None, damaged


def is_there(place: Found) -> bool:
    """Whether there is such a file, and such a member in it; either may be damaged."""
    if not place.path.is_file():
        return False
    if not place.member:
        return True
    try:
        with zipfile.ZipFile(place.path) as archive:
            return place.member in archive.namelist()
    except _ZIP_ERRORS:
        return True  # A broken zip is damage, not absence.


def damage(found: Found) -> str:
    """Why an existing file is not the checkpoint; empty if it is, or if no checksum is known.

    The whole file is read, once per process.
    """
    try:
        size = found.path.stat().st_size
        if found.size and size != found.size:
            return f"{size} bytes instead of {found.size}"
        digest = sha256(found)
    except KeyError:
        return f"it holds no {found.member}"
    except _ZIP_ERRORS as error:
        return f"it cannot be read ({error})"
    if not digest.startswith(found.sha256):
        return f"its sha256 is {digest} instead of {found.sha256}"
    return ""


def sha256(found: Found) -> str:
    """Checksum of the content, remembered while the file stays as it is.

    Raises:
        OSError: the file cannot be read.
        KeyError, RuntimeError, zipfile.BadZipFile, zlib.error: nor the member.
    """
    facts = found.path.stat()
    return _sha256(found.path, found.member, facts.st_size, facts.st_mtime_ns)


@cache
def _sha256(path: Path, member: str, size: int, modified: int) -> str:
    with path.open("rb") as file:
        if not member:
            return hashlib.file_digest(file, "sha256").hexdigest()
        with _open_member(file, member) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()


def read_member(found: Found) -> bytes:
    """The content of a zip's member; nothing is unpacked onto the disk.

    Raises:
        OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error: it cannot be read.
    """
    with found.path.open("rb") as file, _open_member(file, found.member) as content:
        data: bytes = content.read()
        return data


@contextmanager
def _open_member(file: IO[bytes], member: str) -> Iterator[Any]:
    with zipfile.ZipFile(file) as archive:
        size = archive.getinfo(member).file_size
        if size > _LIMIT:
            raise zipfile.BadZipFile(f"{member} would unpack to {size} bytes")
        with archive.open(member) as content:
            yield content


def offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids downloads, by the Hugging Face libraries' own reading."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def pull(checkpoint: Checkpoint, folder: Path | None = None) -> Found:
    """The checkpoint, downloaded if there is no whole copy on this machine.

    One process downloads at a time, the others wait and find the file. A cut download goes on where
    it stopped, in this call or a later one. Only what has the right checksum gets its name.

    Raises:
        EnvironmentFault: offline, no published place gave it, or the cache cannot be written.
        UsageError: the folder does not exist.
    """
    found, _ = first_whole(candidates(checkpoint, folder))
    if found is not None:
        return found
    if offline():
        raise EnvironmentFault(
            f"checkpoint {checkpoint.name} is not on this machine, and HF_HUB_OFFLINE forbids"
            " downloads",
            checkpoint.file,
            "unset it, or put the file into a folder and name that with --weights",
        )
    store = cache_folder()
    fix = "free space, or set XDG_CACHE_HOME to a folder that can be written"
    with disk_faults("checkpoints cannot be stored", store, fix), _one_at_a_time(store):
        # Another process may have brought it meanwhile.
        found, _ = first_whole(candidates(checkpoint, folder))
        reasons = []
        for place in checkpoint.published if found is None else ():
            try:
                if isinstance(place, Hub):
                    return _pull_from_hub(place, checkpoint)
                return _pull_from_web(place, checkpoint, store)
            except _PullFailed as failure:
                reasons.append(str(failure))
    if found is not None:
        return found
    raise EnvironmentFault(
        f"checkpoint {checkpoint.name} could not be downloaded ({'; '.join(reasons)})",
        checkpoint.file,
        "check the network and its proxy; what has arrived is kept and the same command goes on"
        f" from there; or bring the file and put it at {store / checkpoint.file}",
    )


def _pull_from_hub(hub: Hub, checkpoint: Checkpoint) -> Found:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, XetDownloadError

    LOG.info("downloading %s from the Hugging Face repository %s", hub.file, hub.repo)
    try:
        path = hf_hub_download(hub.repo, hub.file, revision=hub.revision)
    except (HfHubHTTPError, EntryNotFoundError, XetDownloadError, OSError) as error:
        raise _PullFailed(f"Hugging Face repository {hub.repo}: {error}") from error
    found = from_hub(checkpoint, hub, Path(path))
    why = damage(found)
    if why:
        raise _PullFailed(f"Hugging Face repository {hub.repo}: {why}; delete {path}")
    return found


def _pull_from_web(url: Url, checkpoint: Checkpoint, store: Path) -> Found:
    target = store / (url.file if url.members else checkpoint.file)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    size = 0 if url.members else checkpoint.size
    # A stale partial file, of an older publication say, spoils the first try only.
    for resumed in (partial.exists(), False):
        _download(url.address, partial, size)
        members = url.members or ("",)
        reasons = [damage(Found(partial, m, checkpoint.sha256, size)) for m in members]
        if "" in reasons:
            partial.replace(target)
            return Found(target, members[reasons.index("")], checkpoint.sha256, size)
        partial.unlink()
        if not resumed:
            break
    raise _PullFailed(f"{url.address}: {reasons[0]}")


def _download(address: str, partial: Path, size: int) -> None:
    """Complete `partial`, in several attempts if the connection is cut."""
    LOG.info("downloading %s", address)
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            return _receive(address, partial, size)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None  # Nothing is left to send; the checksum will tell.
            reason: Exception = error
            if error.code < 500 and error.code not in (408, 429):
                break
        except _NETWORK_ERRORS as error:
            reason = error
    raise _PullFailed(f"{address}: {reason}") from reason


def _receive(address: str, partial: Path, size: int) -> None:
    """Append to `partial` what the server still has to send."""
    from tqdm import tqdm

    _require_secure(address)
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": f"vbench-long/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.build_opener(_SecureRedirects).open(request, timeout=_TIMEOUT) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            have = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _PullFailed(f"{address}: the server sent another part than asked for")
        total = None if answer.length is None else have + answer.length
        _require_size(address, total or 0, size)
        if shutil.disk_usage(partial.parent).free < (total or 0) - have:
            raise OSError(f"{total} bytes do not fit on the disk")
        bar = tqdm(
            desc=partial.stem, initial=have, total=total, unit="B", unit_scale=True,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        with partial.open("ab" if have else "wb") as file, bar:
            while chunk := answer.read(_CHUNK):
                have += len(chunk)
                _require_size(address, have, 0)
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and have < total:
        raise http.client.HTTPException(f"the connection ended after {have} of {total} bytes")


def _require_size(address: str, offered: int, size: int) -> None:
    if offered > _LIMIT or (size and offered and offered != size):
        raise _PullFailed(f"{address}: {offered} bytes instead of {size or f'{_LIMIT} at most'}")


def _require_secure(address: str) -> None:
    if not address.startswith(_SECURE):
        raise _PullFailed(f"{address}: not an https address")


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _require_secure(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _one_at_a_time(store: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    store.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        LOG.info("another process is downloading checkpoints; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
