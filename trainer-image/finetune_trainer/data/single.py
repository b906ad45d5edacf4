"""Items that are made of one sequence each, with what the stage must know of it as its note."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import torch

from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin

Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True)
class SingleDataset(torch.utils.data.Dataset[Item_co]):
    """Items by index; every index from `len` on is a filler on which nothing is learned."""

    records: TokenizedDataset

    def __len__(self) -> int:
        return len(self.records)

    @property
    def facts(self) -> DataFacts:
        """What became of the records."""
        return self.records.facts

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Real tokens (no padding, no fillers) of the items at these indices. Of answers that are drawn none
        is known before."""
        return self.records.tokens_in(indices)

    def lengths(self) -> list[int]:
        """Tokens of each item."""
        return self.records.lengths()

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the items at these indices come from, each once: an item may come several times in a step."""
        return list(dict.fromkeys(self.records.origins(indices)))

    def part(self, indices: Iterable[int]) -> Self:
        """The items at these indices."""
        return replace(self, records=self.records.part(indices))
