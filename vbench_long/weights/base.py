"""What a source of checkpoints is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import torch


class Weights(Protocol):
    """Hands out state dicts by the name of their catalog record.

    Attributes:
        untrained: whether the numbers are made up; records computed with them say so.
    """

    untrained: bool

    def load(
        self, name: str, wanted: Mapping[str, torch.Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, torch.Tensor]:
        """The tensors of checkpoint `name`, strictly.

        Args:
            name: of the catalog record ("dino_vitb16").
            wanted: published key -> a tensor of the shape and dtype expected ("meta" device is
                enough).
            ignored: regular expressions of published keys that may be there and are dropped.

        Returns:
            One tensor per wanted key, on the CPU.

        Raises:
            EnvironmentFault: the checkpoint is not on this machine, is damaged, is of another
                model (a key or shape is missing, or one is there that nobody wants).
        """
        ...

    def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
        """The words of vocabulary `name`, strictly; a network counts on their positions.

        Args:
            name: of the catalog record ("bert_vocabulary").
            count: how many words there are.
            known: position -> word of those that must be there.

        Raises:
            EnvironmentFault: the file is not on this machine, is damaged, or holds other words.
        """
        ...


class SharedWeights:
    """Weights whose checkpoints of more than one network are read, and lie in memory, once.

    Networks keep the tensors they are given and change none of them.
    """

    def __init__(self, weights: Weights, shared: Collection[str]) -> None:
        """`shared` names the checkpoints to remember; all others pass through."""
        self.untrained = weights.untrained
        self._weights, self._shared = weights, shared
        self._known: dict[str, dict[str, torch.Tensor]] = {}

    def load(
        self, name: str, wanted: Mapping[str, torch.Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, torch.Tensor]:
        """The tensors of checkpoint `name`; see `Weights.load`."""
        known = self._known.get(name, {})
        if not wanted.keys() <= known.keys():
            # What another network has is handed out again, not kept twice.
            known = self._weights.load(name, wanted, ignored) | known
        if name in self._shared:
            self._known[name] = known
        return {key: known[key] for key in wanted}

    def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
        """The words of vocabulary `name`; see `Weights.words`."""
        return self._weights.words(name, count, known)
