"""Products of matrices, by the library that is fastest on this machine.

On a CPU torch asks MKL for float32 products, which takes twice as long as oneDNN on processors
that are not Intel's. Elsewhere, in other dtypes, and where gradients are wanted, these functions
are torch's own.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")  # Not in builds without oneDNN.


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """`F.linear`: (..., I) -> (..., O)."""
    if _by_onednn(x, weight_OI):
        return _pointwise(x, weight_OI, bias_O, "none", "")
    return F.linear(x, weight_OI, bias_O)


def linear_gelu(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """`F.linear` and the tanh form of GELU in one go: (..., I) -> (..., O)."""
    if _by_onednn(x, weight_OI):
        return _pointwise(x, weight_OI, bias_O, "gelu", "tanh")
    return F.gelu(F.linear(x, weight_OI, bias_O), approximate="tanh")


def products(first_NqC: Tensor, second_NPC: Tensor) -> Tensor:
    """Scalar products of all rows of two matrices, N times: (N, q, P)."""
    if len(first_NqC) > 1:
        return first_NqC @ second_NPC.mT
    return linear(first_NqC[0].contiguous(), second_NPC[0].contiguous())[None]


class Linear(nn.Linear):
    """A linear layer that multiplies by `linear`."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return linear(x, self.weight, self.bias)


def _by_onednn(x: Tensor, weight_OI: Tensor) -> bool:
    return (
        _ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight_OI.dtype == torch.float32
        and not (torch.is_grad_enabled() and (x.requires_grad or weight_OI.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _pointwise(
    x: Tensor,
    weight_OI: Tensor,
    bias_O: Tensor | None,
    then: Literal["none", "gelu"],
    form: Literal["", "tanh"],
) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_OI, bias_O, then, [], form)
    return out
