"""vbench-long: judge, generate and compare long generated videos."""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# In a checkout that is not installed the rooms lie beside this folder instead of inside it.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "setup.py").is_file() and (_checkout / "dimensions").is_dir():
    __path__.append(str(_checkout))

_PUBLIC = dict.fromkeys(
    ("GenerateConfig", "RunConfig", "evaluate", "generate"), "vbench_long.evaluation"
)

__all__ = ["GenerateConfig", "RunConfig", "__version__", "evaluate", "generate"]


def __getattr__(name: str) -> Any:
    """Load the public functions on first use: ``import vbench_long`` stays instant."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
