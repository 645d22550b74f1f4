"""Deterministic untrained numbers, so that full-size networks run without a download."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def seeded_tensor(key: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The seeded tensor of one published state-dict key; depends on key and shape alone.

    Standard normal numbers from PCG64, seeded with the first eight bytes of sha256(key), little
    endian; then by the key's last part and the rank: running variances ``1 + 0.1 |n|``, running
    means ``0.1 n``, rank two and more ``n / sqrt(fan_in)``, other weights and gammas
    ``1 + 0.1 n``, the rest ``0.02 n``. Integer tensors are zero.
    """
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, np.float32)
    values: NDArray[np.floating[Any]]
    last = key.rpartition(".")[2]
    if last.endswith("running_var"):
        values = 1 + 0.1 * np.abs(normal)
    elif last.endswith("running_mean"):
        values = 0.1 * normal
    elif len(shape) > 1:
        values = normal / math.sqrt(max(1, math.prod(shape[1:])))
    elif last in ("weight", "gamma", "g"):
        values = 1 + 0.1 * normal
    else:
        values = 0.02 * normal
    return torch.from_numpy(np.asarray(values, np.float32).reshape(shape)).to(dtype)


class SeededWeights:
    """Weights that are made, not read: results carry the word `untrained`."""

    untrained = True

    def load(
        self, name: str, wanted: Mapping[str, torch.Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, torch.Tensor]:
        """Seeded tensors for every wanted key; see `Weights.load`."""
        return {key: seeded_tensor(key, tuple(t.shape), t.dtype) for key, t in wanted.items()}

    def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
        """Stand-ins, but for those that are known; see `Weights.words`."""
        return [known.get(position, f"word{position}") for position in range(count)]
