"""Which of the rendered sequences are trained on; what became of the other records is counted."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from finetune_trainer.data.dataset import DataFacts
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.errors import DataError

log = logging.getLogger(__name__)

NAMED = 5
"""Records that a message names; the rest are counted."""

KEPT = 20
"""Records that can be named."""


class Sifting(Protocol):
    """One pass over the rendered sequences of a source."""

    @property
    def unsupervised(self) -> list[Origin]:
        """The first of the records that train on nothing."""

    @property
    def counts(self) -> DataFacts:
        """What became of the records that went through so far."""

    def __call__(self, rendered: Iterable[Tokens]) -> Iterator[Tokens]:
        """The sequences to be trained on, one after the other."""

    def facts(self) -> DataFacts:
        """The counts once all records are through; logged, too. Raises `DataError` when none is left."""


@dataclass
class Sieve:
    """Lets through what is trained on. A record of several sequences is kept or left out whole."""

    renderer: Renderer
    """What made the sequences."""
    drops: bool
    """Whether what is too long is left out, rather than trained on as far as it goes."""
    learns: bool = True
    """Whether what has no supervised token is left out: not prompts, which have none."""
    sides: int = 1
    """Sequences of each record."""
    counts: DataFacts = field(default_factory=lambda: DataFacts(0, 0, 0, 0))
    overlong: list[Origin] = field(default_factory=list)
    unsupervised: list[Origin] = field(default_factory=list)

    def __call__(self, rendered: Iterable[Tokens]) -> Iterator[Tokens]:
        """The sequences to be trained on, one after the other."""
        remaining = iter(rendered)
        for record in zip(*[remaining] * self.sides, strict=True):
            too_long = any(tokens.cut for tokens in record)
            supervised = [tokens.supervised for tokens in record]
            dropped = self.drops and too_long
            kept = not dropped and (all(supervised) or not self.learns)
            length = sum(len(tokens.ids) for tokens in record)
            counts = self.counts
            self.counts = replace(
                counts,
                records=counts.records + 1,
                sequences=counts.sequences + kept * self.sides,
                tokens=counts.tokens + kept * length,
                supervised_tokens=counts.supervised_tokens + kept * sum(supervised),
                truncated=counts.truncated + too_long,
                cut_tokens=counts.cut_tokens + sum(tokens.cut for tokens in record) + dropped * length,
                cut_supervised_tokens=counts.cut_supervised_tokens
                + sum(tokens.cut_supervised for tokens in record)
                + dropped * sum(supervised),
                unsupervised=counts.unsupervised + (not dropped and not kept),
            )
            if too_long:
                _remember(self.overlong, record)
            if kept:
                yield from record
            elif not dropped:
                _remember(self.unsupervised, record)

    def facts(self) -> DataFacts:
        """What became of all records, once they are through; logged, too. Raises `DataError` when none is
        left."""
        facts, limit = self.counts, f"{self.renderer.limit} ({self.renderer.max_length})"
        if facts.truncated:
            log.warning(
                "%d of %d records are longer than %s and were %s: %d tokens are lost, %d of them supervised "
                "(%s)",
                facts.truncated,
                facts.records,
                limit,
                "dropped" if self.drops else "cut",
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
                f"{limit}. Raise it, or look at the data"
            )
        return facts


@dataclass
class StreamSieve:
    """Puts all records one after the other, and cuts sequences of the full length from them."""

    whole: Sieve
    """What the sequences go through."""
    records: int = 0

    @property
    def unsupervised(self) -> list[Origin]:
        """Of sequences, those that train on nothing."""
        return self.whole.unsupervised

    @property
    def counts(self) -> DataFacts:
        """Of records and of the sequences that were cut from them."""
        return replace(self.whole.counts, records=self.records)

    def __call__(self, rendered: Iterable[Tokens]) -> Iterator[Tokens]:
        """The sequences, of which the last may be shorter."""
        return self.whole(cut_stream(self._counted(rendered), self.whole.renderer.max_length))

    def facts(self) -> DataFacts:
        """What became of all records, once they are through. Raises `DataError` when nothing is left."""
        return replace(self.whole.facts(), records=self.records)

    def _counted(self, rendered: Iterable[Tokens]) -> Iterator[Tokens]:
        for tokens in rendered:
            self.records += 1
            yield tokens


NewSieve = Callable[[], Sifting]


def cut_stream(parts: Iterable[Tokens], length: int) -> Iterator[Tokens]:
    """One stream of tokens in sequences of a length, of which the last may be shorter; those on which nothing
    is learned are left out. A sequence is said to come from the record that its first token is of."""
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


def _remember(origins: list[Origin], record: Sequence[Tokens]) -> None:
    if len(origins) < KEPT:
        origins.append(record[0].origin)


def _named(origins: Sequence[Origin], count: int) -> str:
    shown = "; ".join(map(str, origins[:NAMED]))
    return f"{shown}; and {count - NAMED} more" if count > NAMED else shown
