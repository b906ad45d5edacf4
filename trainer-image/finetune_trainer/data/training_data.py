"""What the training loop asks of data, whatever its items are: sequences, packs, pairs or prompts."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self

from finetune_trainer.data.dataset import DataFacts
from finetune_trainer.data.examples import Origin


class TrainingData(Protocol):
    """Items by index. Every index from `len` on is a filler on which nothing is learned, so that the last
    batch of an epoch can be as large as the others without repeating a record."""

    @property
    def facts(self) -> DataFacts:
        """What became of the records."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Real tokens (no padding, no fillers) of the items at these indices."""

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the items at these indices come from; fillers are passed over."""

    def lengths(self) -> list[int]:
        """Tokens of each item, for `training.sampling: groupByLength`."""

    def collate(self, items: Sequence[Any], pad_id: int) -> Any:
        """A micro-batch: what the stage's objective, or the model, takes."""


class Divisible(TrainingData, Protocol):
    """Data of which a part is data of the same kind."""

    def part(self, indices: Iterable[int]) -> Self:
        """The items at these indices."""
