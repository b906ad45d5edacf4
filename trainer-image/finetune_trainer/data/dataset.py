"""Tokenised data: sequences in memory, what was cut or dropped on the way, and how they become a batch."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from finetune_trainer.data.examples import Example, Origin
from finetune_trainer.data.rendering import IGNORED, Ids, Renderer, Tokens
from finetune_trainer.data.stored import StoredSequences
from finetune_trainer.data.workers import render_all
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
    documents: int = 0
    """Of packed sequences, those that see none but themselves; 0 where each sequence is one."""


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
        if isinstance(self.sequences, StoredSequences):
            return self.sequences.lengths()
        return [len(tokens.ids) for tokens in self.sequences]

    def part(self, indices: Iterable[int]) -> "TokenizedDataset":
        """The sequences at these indices, with the facts of the whole but for their counts."""
        sequences = [self.sequences[index] for index in indices]
        return TokenizedDataset(sequences, _facts(sequences, self.facts))

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
    return assemble(render_all(examples, renderer), renderer)


def assemble(rendered: Iterable[Tokens], renderer: Renderer) -> TokenizedDataset:
    """What `tokenize` makes of examples that are tokens already."""
    sieve = Sieve(renderer)
    kept = list(sieve(rendered))
    return TokenizedDataset(kept, sieve.facts())


@dataclass
class Sieve:
    """Lets through what is trained on, and counts what became of the rest."""

    renderer: Renderer
    counts: DataFacts = field(default_factory=lambda: DataFacts(0, 0, 0, 0))
    overlong: list[Origin] = field(default_factory=list)
    """The first of them, to be named."""
    unsupervised: list[Origin] = field(default_factory=list)

    def __call__(self, rendered: Iterable[Tokens]) -> Iterator[Tokens]:
        """The sequences to be trained on, one after the other."""
        drop = self.renderer.preprocessing.overlong == "drop"
        for tokens in rendered:
            dropped = drop and tokens.cut > 0
            kept = not dropped and tokens.supervised > 0
            length, supervised = len(tokens.ids), tokens.supervised
            self.counts = replace(
                self.counts,
                records=self.counts.records + 1,
                sequences=self.counts.sequences + kept,
                tokens=self.counts.tokens + kept * length,
                supervised_tokens=self.counts.supervised_tokens + kept * supervised,
                truncated=self.counts.truncated + (tokens.cut > 0),
                cut_tokens=self.counts.cut_tokens + tokens.cut + dropped * length,
                cut_supervised_tokens=self.counts.cut_supervised_tokens
                + tokens.cut_supervised
                + dropped * supervised,
                unsupervised=self.counts.unsupervised + (not dropped and not kept),
            )
            if tokens.cut and len(self.overlong) < SHOWN:
                self.overlong.append(tokens.origin)
            if not dropped and not kept and len(self.unsupervised) < SHOWN:
                self.unsupervised.append(tokens.origin)
            if kept:
                yield tokens

    def facts(self) -> DataFacts:
        """What became of all records, once they are through; logged, too. Raises `DataError` when none is
        left."""
        facts = self.counts
        if facts.truncated:
            log.warning(
                "%d of %d records are longer than training.maxSequenceLength (%d) and were %s: %d tokens are "
                "lost, %d of them supervised (%s)",
                facts.truncated,
                facts.records,
                self.renderer.max_length,
                "dropped" if self.renderer.preprocessing.overlong == "drop" else "cut",
                facts.cut_tokens,
                facts.cut_supervised_tokens,
                _named(self.overlong, facts.truncated),
            )
        if facts.unsupervised:
            log.warning(
                "%d of %d records train on nothing and were left out (%s)",
                facts.unsupervised,
                facts.records,
                _named(self.unsupervised, facts.unsupervised),
            )
        if not facts.sequences:
            raise DataError(
                f"none of {facts.records} records trains on anything: {facts.truncated} were longer than "
                f"training.maxSequenceLength ({self.renderer.max_length}). Raise it, or look at the data"
            )
        return facts


def tokenize_as_stream(examples: Sequence[Example], renderer: Renderer) -> TokenizedDataset:
    """All examples one after the other, each closed by the end token, cut into sequences of the full length.

    A sequence is said to come from the example that its first token is of.
    """
    sequences = list(cut_stream(render_all(examples, unlimited(renderer)), renderer.max_length))
    if not sequences:
        raise DataError(f"the {len(examples)} documents hold no text to train on")
    return TokenizedDataset(sequences, _facts(sequences, DataFacts(len(examples), 0, 0, 0)))


def unlimited(renderer: Renderer) -> Renderer:
    """The renderer without its limit, for text that is cut into sequences afterwards."""
    return Renderer(renderer.tokenizer, renderer.preprocessing, sys.maxsize, renderer.supervise)


def cut_stream(parts: Iterable[Tokens], length: int) -> Iterator[Tokens]:
    """One stream of tokens in sequences of a length, of which the last may be shorter; those on which nothing
    is learned are left out."""
    ids, labels = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
    origin: Origin | None = None
    for part in parts:
        start = origin if len(ids) else part.origin
        ids, labels = np.concatenate([ids, part.ids]), np.concatenate([labels, part.labels])
        for begin in range(0, len(ids) - length + 1, length):
            whole = slice(begin, begin + length)
            yield from _learned(Tokens(ids[whole], labels[whole], start or part.origin))
            start = part.origin
        rest = len(ids) // length * length
        ids, labels, origin = ids[rest:], labels[rest:], start
    if len(ids) and origin is not None:
        yield from _learned(Tokens(ids, labels, origin))


def _learned(tokens: Tokens) -> Iterator[Tokens]:
    if tokens.supervised:
        yield tokens


def split(
    dataset: TokenizedDataset, share: float, seed: int
) -> tuple[TokenizedDataset, TokenizedDataset | None]:
    """Training and held-out part; the latter is None for a share of 0 and has at least one sequence
    otherwise.

    Which sequences are held out depends on nothing but their number, the share and the seed.
    """
    train, kept_back = held_out(len(dataset), share, seed)
    return (dataset.part(train), dataset.part(kept_back)) if kept_back else (dataset, None)


def held_out(size: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Which of so many items are trained on, and which are kept back (none for a share of 0).

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
    return Batch(input_ids=ids, attention_mask=mask, labels=labels)


def _facts(sequences: Sequence[Tokens], whole: DataFacts) -> DataFacts:
    """The facts of the whole, with the counts of these sequences."""
    return replace(
        whole,
        sequences=len(sequences),
        tokens=sum(len(tokens.ids) for tokens in sequences),
        supervised_tokens=sum(tokens.supervised for tokens in sequences),
    )


def _named(origins: Sequence[Origin], count: int) -> str:
    shown = "; ".join(map(str, origins))
    return f"{shown}; and {count - len(origins)} more" if count > len(origins) else shown
