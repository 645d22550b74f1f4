"""Counting the tensors that are alive, with or without numbers in them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Live(TorchDispatchMode):
    """Counts bytes of tensors that come and go while it is on.

    Args:
        known: tensors that are there anyway, such as weights; they are not counted.

    Attributes:
        now: bytes alive.
        peak: most there ever were.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self._seen = {tensor.untyped_storage()._cdata: 0 for tensor in known}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), named: Any = None) -> Any:
        out = function(*args, **(named or {}))
        for tensor in tree_iter(out):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage._cdata not in self._seen:
                self._seen[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, storage._cdata)
        return out

    def _free(self, key: int) -> None:
        self.now -= self._seen.pop(key)
