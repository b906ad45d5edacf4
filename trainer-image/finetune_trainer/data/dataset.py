"""Tokenised data: sequences by index, what was cut or dropped on the way, and how they become a batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import IGNORED, Ids, Tokens
from finetune_trainer.data.sequences import Sequences
from finetune_trainer.data.stored import StoredSequences
from finetune_trainer.errors import DataError


class Sample(TypedDict):
    """One sequence as the collator gets it."""

    input_ids: Ids
    labels: Ids


class Batch(TypedDict):
    """What the model gets: all of shape (micro-batch, longest sequence)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class DataFacts:
    """What became of the records; goes into the status."""

    records: int
    sequences: int
    tokens: int
    supervised_tokens: int
    truncated: int = 0
    """Records that were longer than the limit; for pre-training none, since text is cut into sequences."""
    cut_tokens: int = 0
    """Tokens of these records that are not trained on: what is behind the limit, or all where they are
    dropped."""
    cut_supervised_tokens: int = 0
    """Those of the cut tokens that the loss would have counted."""
    unsupervised: int = 0
    """Records that trained on nothing and were left out."""
    documents: int = 0
    """Of packed sequences, those that see none but themselves; 0 where each sequence is one."""


@dataclass(frozen=True)
class Selection(Sequences):
    """Some of other sequences, which stay where they are."""

    whole: Sequence[Tokens]
    chosen: npt.NDArray[np.int64]
    """Their indices in `whole`."""

    def __len__(self) -> int:
        return len(self.chosen)

    def at(self, index: int) -> Tokens:
        """The sequence of a number, from 0."""
        return self.whole[int(self.chosen[index])]


def lengths_of(sequences: Sequence[Tokens]) -> list[int]:
    """Tokens of each sequence; those that are on disk need not be read for it."""
    if isinstance(sequences, StoredSequences):
        return sequences.lengths()
    if isinstance(sequences, Selection):
        lengths = lengths_of(sequences.whole)
        return [lengths[index] for index in sequences.chosen.tolist()]
    return [len(tokens.ids) for tokens in sequences]


@dataclass(frozen=True)
class TokenizedDataset(Dataset[Sample]):
    """Sequences by index. Every index from `len` on is a filler on which nothing is learned, so that the last
    batch of an epoch can be as large as the others without repeating a record."""

    sequences: Sequence[Tokens]
    facts: DataFacts
    filler: Sample = field(
        default_factory=lambda: Sample(
            input_ids=np.zeros(2, dtype=np.int32), labels=np.full(2, IGNORED, dtype=np.int32)
        )
    )

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> Sample:
        if index >= len(self.sequences):
            return self.filler
        tokens = self.sequences[index]
        return Sample(input_ids=tokens.ids, labels=tokens.labels)

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Real tokens (no padding, no fillers) of the sequences at these indices."""
        return sum(len(self.sequences[index].ids) for index in indices if index < len(self.sequences))

    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return lengths_of(self.sequences)

    def part(self, indices: Iterable[int]) -> "TokenizedDataset":
        """The sequences at these indices, with the facts of the whole but for their counts. Those that are
        on disk stay there."""
        sequences = Selection(self.sequences, np.fromiter(indices, dtype=np.int64))
        return TokenizedDataset(sequences, _facts(sequences, self.facts))

    def collate(self, samples: Sequence[Sample], pad_id: int) -> Batch:
        """A micro-batch of samples."""
        return collate(samples, pad_id)

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the sequences at these indices come from."""
        return [self.sequences[index].origin for index in indices if index < len(self.sequences)]


def held_out(size: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Which of so many items are trained on, and which are kept back: none for a share of 0, else at least
    one. It depends on nothing but their number, the share and the seed.

    Raises `DataError` when none would be left to train on.
    """
    if share == 0:
        return list(range(size)), []
    count = max(1, round(size * share))
    if count >= size:
        raise DataError(f"dataset.evalSplit: {share} of {size} sequences leaves none to train on")
    order = np.random.default_rng(seed).permutation(size)
    return sorted(order[count:].tolist()), sorted(order[:count].tolist())


def collate(samples: Sequence[Sample], pad_id: int) -> Batch:
    """Pads on the right to the longest sequence; padding is neither attended to nor learned."""
    longest = max(len(sample["input_ids"]) for sample in samples)
    shape = (len(samples), longest)
    ids = torch.full(shape, pad_id, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED, dtype=torch.long)
    for row, sample in enumerate(samples):
        length = len(sample["input_ids"])
        ids[row, :length] = torch.from_numpy(sample["input_ids"])
        mask[row, :length] = 1
        labels[row, :length] = torch.from_numpy(sample["labels"])
    # nothing predicts it, but transformers would count it for models of which it does not know that (GPT-2)
    labels[:, 0] = IGNORED
    return Batch(input_ids=ids, attention_mask=mask, labels=labels)


def _facts(sequences: Sequence[Tokens], whole: DataFacts) -> DataFacts:
    """The facts of the whole, with the counts of these sequences."""
    return replace(
        whole,
        sequences=len(sequences),
        tokens=sum(lengths_of(sequences)),
        supervised_tokens=sum(tokens.supervised for tokens in sequences),
    )
