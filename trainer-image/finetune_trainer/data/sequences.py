"""Tokenised sequences by their numbers, wherever they lie."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from finetune_trainer.data.rendering import Tokens


class Sequences(Sequence[Tokens]):
    """Sequences of which each is read when it is looked at."""

    @abstractmethod
    def at(self, index: int) -> Tokens:
        """The sequence of a number, from 0."""

    @overload
    def __getitem__(self, index: int) -> Tokens: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tokens]: ...
    def __getitem__(self, index: int | slice) -> Tokens | Sequence[Tokens]:
        if isinstance(index, slice):
            return [self.at(number) for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.at(index % len(self))
