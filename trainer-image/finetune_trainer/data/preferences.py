"""Preferences as tokens: two sequences per record, which stay together whatever happens to one of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.dataset import Batch, DataFacts, Sample, TokenizedDataset, collate
from finetune_trainer.data.examples import Example, Origin, Preference, sides
from finetune_trainer.data.making import Recipe
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.data.sieve import Sieve
from finetune_trainer.data.workers import Noted
from finetune_trainer.errors import InvalidConfigError

Pair = tuple[Sample, Sample]


@dataclass(frozen=True)
class PairedDataset(torch.utils.data.Dataset[Pair]):
    """Pairs by index, the preferred sequence first; every index from `len` on is a filler on which nothing is
    learned."""

    records: TokenizedDataset
    """Sequences 2i and 2i + 1 are those of pair i."""

    def __len__(self) -> int:
        return len(self.records) // 2

    def __getitem__(self, index: int) -> Pair:
        return self.records[2 * index], self.records[2 * index + 1]

    @property
    def facts(self) -> DataFacts:
        """What became of the records; both sequences of a pair are counted."""
        return self.records.facts

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Real tokens (no padding, no fillers) of both sides of these pairs."""
        return self.records.tokens_in(_both(indices))

    def lengths(self) -> list[int]:
        """Tokens of the longer side of each pair, to which the other is padded."""
        lengths = self.records.lengths()
        return [max(pair) for pair in zip(lengths[::2], lengths[1::2], strict=True)]

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the pairs at these indices come from."""
        return self.records.origins(2 * index for index in indices)

    def part(self, indices: Iterable[int]) -> "PairedDataset":
        """The pairs at these indices."""
        return PairedDataset(self.records.part(_both(indices)))

    def collate(self, pairs: Sequence[Pair], pad_id: int) -> Batch:
        """A micro-batch of twice as many rows: all preferred sequences, then the others in the same order."""
        return collate([pair[side] for side in (0, 1) for pair in pairs], pad_id)


def pairs(_job: ResolvedJob, renderer: Renderer) -> Recipe[PairedDataset]:
    """Two sequences per preference. A pair is left out when one of its sides is to be dropped for its length,
    or has no answer within it."""
    return Recipe("pairs", renderer, lambda: Sieve(renderer, renderer.drops, sides=2), PairedDataset, _sides)


def _sides(example: Example) -> Iterable[Noted]:
    if not isinstance(example, Preference):
        raise InvalidConfigError("dataset.format: this stage compares two answers. Use format preference")
    return [(side, "") for side in sides(example)]


def _both(indices: Iterable[int]) -> list[int]:
    return [sequence for index in indices for sequence in (2 * index, 2 * index + 1)]
