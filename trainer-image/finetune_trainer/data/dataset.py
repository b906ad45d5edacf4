"""Tokenised data: sequences in memory, what was cut or dropped on the way, and how they become a batch."""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from finetune_trainer.data.examples import Example, Origin
from finetune_trainer.data.rendering import IGNORED, Ids, Renderer, Tokens
from finetune_trainer.errors import DataError

log = logging.getLogger(__name__)

SHOWN = 5
"""Records that a warning names; the rest are counted."""


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
        return [len(tokens.ids) for tokens in self.sequences]

    def collate(self, samples: Sequence[Sample], pad_id: int) -> Batch:
        """A micro-batch of samples."""
        return collate(samples, pad_id)

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the sequences at these indices come from."""
        return [self.sequences[index].origin for index in indices if index < len(self.sequences)]


def tokenize(examples: Sequence[Example], renderer: Renderer) -> TokenizedDataset:
    """One sequence per example. Records on which nothing is supervised are left out and counted.

    Raises `DataError` when none is left.
    """
    return assemble(renderer.all(examples), renderer)


def assemble(rendered: Sequence[Tokens], renderer: Renderer) -> TokenizedDataset:
    """What `tokenize` makes of examples that are tokens already."""
    drop = renderer.preprocessing.overlong == "drop"
    overlong = [tokens for tokens in rendered if tokens.cut]
    fitting = [tokens for tokens in rendered if not (drop and tokens.cut)]
    kept = [tokens for tokens in fitting if tokens.supervised]
    unsupervised = [tokens for tokens in fitting if not tokens.supervised]
    facts = DataFacts(
        records=len(rendered),
        sequences=len(kept),
        tokens=sum(len(tokens.ids) for tokens in kept),
        supervised_tokens=sum(tokens.supervised for tokens in kept),
        truncated=len(overlong),
        cut_tokens=sum(tokens.cut + drop * len(tokens.ids) for tokens in overlong),
        cut_supervised_tokens=sum(tokens.cut_supervised + drop * tokens.supervised for tokens in overlong),
        unsupervised=len(unsupervised),
    )
    if overlong:
        log.warning(
            "%d of %d records are longer than training.maxSequenceLength (%d) and were %s: %d tokens are "
            "lost, %d of them supervised (%s)",
            facts.truncated,
            facts.records,
            renderer.max_length,
            "dropped" if drop else "cut",
            facts.cut_tokens,
            facts.cut_supervised_tokens,
            _named(overlong),
        )
    if unsupervised:
        log.warning(
            "%d of %d records train on nothing and were left out (%s)",
            facts.unsupervised,
            facts.records,
            _named(unsupervised),
        )
    if not kept:
        raise DataError(
            f"none of {facts.records} records trains on anything: {facts.truncated} were longer than "
            f"training.maxSequenceLength ({renderer.max_length}). Raise it, or look at the data"
        )
    return TokenizedDataset(kept, facts)


def tokenize_as_stream(examples: Sequence[Example], renderer: Renderer) -> TokenizedDataset:
    """All examples one after the other, each closed by the end token, cut into sequences of the full length.

    A sequence is said to come from the example that its first token is of.
    """
    length = renderer.max_length
    unlimited = Renderer(renderer.tokenizer, renderer.preprocessing, sys.maxsize, renderer.supervise)
    parts = unlimited.all(examples)
    ids = np.concatenate([part.ids for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    starts = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
    sequences = []
    for start in range(0, len(ids), length):
        origin = parts[int(np.searchsorted(starts, start, side="right")) - 1].origin
        tokens = Tokens(ids[start : start + length], labels[start : start + length], origin)
        if tokens.supervised:
            sequences.append(tokens)
    if not sequences:
        raise DataError(f"the {len(examples)} documents hold no text to train on")
    return TokenizedDataset(sequences, _facts(sequences, DataFacts(len(examples), 0, 0, 0)))


def split(
    dataset: TokenizedDataset, share: float, seed: int
) -> tuple[TokenizedDataset, TokenizedDataset | None]:
    """Training and held-out part; the latter is None for a share of 0 and has at least one sequence
    otherwise.

    Which sequences are held out depends on nothing but their number, the share and the seed.
    """
    if share == 0:
        return dataset, None
    held_out = max(1, round(len(dataset) * share))
    if held_out >= len(dataset):
        raise DataError(f"dataset.evalSplit: {share} of {len(dataset)} sequences leaves none to train on")
    order = np.random.default_rng(seed).permutation(len(dataset))
    parts = sorted(order[held_out:].tolist()), sorted(order[:held_out].tolist())
    train, evaluation = ([dataset.sequences[index] for index in part] for part in parts)
    return (
        TokenizedDataset(train, _facts(train, dataset.facts)),
        TokenizedDataset(evaluation, _facts(evaluation, dataset.facts)),
    )


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
    return Batch(input_ids=ids, attention_mask=mask, labels=labels)


def _facts(sequences: Sequence[Tokens], whole: DataFacts) -> DataFacts:
    """The facts of the whole, with the counts of these sequences."""
    return replace(
        whole,
        sequences=len(sequences),
        tokens=sum(len(tokens.ids) for tokens in sequences),
        supervised_tokens=sum(tokens.supervised for tokens in sequences),
    )


def _named(records: Sequence[Tokens]) -> str:
    shown = "; ".join(str(tokens.origin) for tokens in records[:SHOWN])
    return f"{shown}; and {len(records) - SHOWN} more" if len(records) > SHOWN else shown
