"""Where numbers come from: versions, machine, command line."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vbench_long import __version__

_PACKAGES = (
    "av", "diffusers", "numpy", "opencv-python-headless", "pillow", "scenedetect-headless",
    "scipy", "timm", "torch", "torchvision", "transformers",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """What the numbers of this process may depend on besides the protocol."""
    return {
        "vbench-long": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def command_line() -> str:
    """The command as the user could type it again."""
    return shlex.join(["vbench-long", *sys.argv[1:]])


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
