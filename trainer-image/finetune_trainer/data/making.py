"""From examples to sequences, one after the other, for conversations and for text; what became of the records
is known once all are taken."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Example, Origin
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.data.workers import render_each
from finetune_trainer.errors import DataError

log = logging.getLogger(__name__)

SHOWN = 5
"""Records that a warning names; the rest are counted."""

Making = tuple[Iterator[Tokens], Callable[[], DataFacts]]
"""Sequences, and what became of the records; the latter is asked once all sequences are taken, and raises
`DataError` when there is none."""

Make = Callable[[Iterable[Example], Renderer, int], Making]
"""How the data of a stage is made from examples, by so many processes."""


def conversations(examples: Iterable[Example], renderer: Renderer, workers: int) -> Making:
    """One sequence per example. Records on which nothing is supervised are left out and counted."""
    sieve = Sieve(renderer)
    return sieve(render_each(examples, renderer, workers)), sieve.facts


def documents(examples: Iterable[Example], renderer: Renderer, workers: int) -> Making:
    """All examples one after the other, each closed by the end token, cut into sequences of the full length.

    A sequence is said to come from the example that its first token is of.
    """
    sieve = Sieve(renderer)
    records = 0

    def counted() -> Iterator[Example]:
        nonlocal records
        for example in examples:
            records += 1
            yield example

    parts = render_each(counted(), unlimited(renderer), workers)
    sequences = sieve(cut_stream(parts, renderer.max_length))
    return sequences, lambda: replace(sieve.facts(), records=records)


def in_memory(making: Making) -> TokenizedDataset:
    """All sequences at once. Raises what making them raises."""
    sequences, facts = making
    made = list(sequences)
    return TokenizedDataset(made, facts())


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


def _named(origins: Sequence[Origin], count: int) -> str:
    shown = "; ".join(map(str, origins))
    return f"{shown}; and {count - len(origins)} more" if count > len(origins) else shown
