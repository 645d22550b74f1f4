"""Products of matrices: torch's numbers, whoever multiplies."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vbench_long import products as module
from vbench_long.products import Linear, linear, linear_gelu, products


@pytest.mark.parametrize("layout", ["plain", "strided", "transposed", "one row"])
def test_linear_layers_give_what_torch_gives(layout: str) -> None:
    numbers = torch.arange(480.0).reshape(2, 3, 5, 16).sin()
    x = {
        "plain": numbers,
        "strided": numbers[:, :, ::2],
        "transposed": numbers.transpose(1, 2),
        "one row": numbers[0, 0, 0],
    }[layout]
    weight, bias = torch.arange(112.0).reshape(7, 16).cos(), torch.arange(7.0)
    for weight_OI in (weight, weight.T.contiguous().T):
        for bias_O in (bias, None):
            want = torch.nn.functional.linear(x, weight_OI, bias_O)
            torch.testing.assert_close(linear(x, weight_OI, bias_O), want, rtol=0, atol=1e-5)
    in_half = linear(x.bfloat16(), weight.bfloat16(), bias.bfloat16())
    assert in_half.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16


def test_products_of_one_and_of_several_pairs_agree() -> None:
    first, second = torch.arange(120.0).reshape(3, 5, 8).sin(), torch.arange(96.0).reshape(3, 4, 8)
    together = products(first, second.cos())
    alone = torch.cat([products(first[i : i + 1], second[i : i + 1].cos()) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def bent(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


@pytest.mark.parametrize("biased", [True, False])
def test_bending_along_with_the_product_is_the_tanh_form(biased: bool) -> None:
    x, weight = torch.linspace(-9, 9, 600).reshape(4, 10, 15), torch.arange(180.0).reshape(12, 15)
    weight, bias = weight.sin(), torch.arange(12.0).cos() if biased else None
    got = linear_gelu(x, weight, bias)
    torch.testing.assert_close(got, bent(x, weight, bias), rtol=2e-6, atol=2e-5)
    exact = F.gelu(F.linear(x, weight, bias))
    assert (got - exact).abs().max() > 1e-4, "the form by the error function is another one"
    in_half = linear_gelu(x.bfloat16(), weight.bfloat16())
    assert torch.equal(in_half, bent(x.bfloat16(), weight.bfloat16()))


@pytest.mark.parametrize("function", [linear, linear_gelu])
def test_gradients_flow_where_they_are_wanted(function: Callable[..., Tensor]) -> None:
    x, weight = torch.arange(12.0).reshape(3, 4).sin().requires_grad_(), torch.eye(4)
    function(x, weight).sum().backward()
    assert x.grad is not None and bool(x.grad.abs().min() > 0)
    layer = Linear(4, 2)
    layer(torch.ones(1, 4)).sum().backward()
    assert layer.weight.grad is not None


def test_builds_without_onednn_use_torch() -> None:
    x, weight = torch.ones(2, 3), torch.ones(4, 3)
    with patch.object(module, "_ONEDNN", False), patch.object(module, "_pointwise") as fast:
        assert torch.equal(linear(x, weight), F.linear(x, weight))
        assert torch.equal(linear_gelu(x, weight), bent(x, weight))
    fast.assert_not_called()
