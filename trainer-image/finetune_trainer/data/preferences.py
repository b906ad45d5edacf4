"""Preferences as tokens: two sequences per record, which stay together whatever happens to one of them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.dataset import Batch, DataFacts, Sample, TokenizedDataset, collate
from finetune_trainer.data.examples import Example, Origin, Preference, sides
from finetune_trainer.data.making import Making
from finetune_trainer.data.preparation import Recipe, renderer_for, train_and_evaluation
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.data.workers import render_each
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.tokenizers import Tokenizer

log = logging.getLogger(__name__)

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


def pairs(examples: Iterable[Example], renderer: Renderer, workers: int) -> Making:
    """Two sequences per preference. A pair is left out when one of its sides is to be dropped for its length,
    or has no answer within it.

    Raises `InvalidConfigError` for examples that are no preferences; the facts raise `DataError` when no pair
    is left.
    """
    sieve = PairSieve(renderer)
    return sieve(render_each(_sides(examples), renderer, workers)), sieve.facts


def _sides(examples: Iterable[Example]) -> Iterator[Example]:
    for example in examples:
        if not isinstance(example, Preference):
            raise InvalidConfigError("dataset.format: this stage compares two answers. Use format preference")
        yield from sides(example)


@dataclass
class PairSieve:
    """Lets pairs through of which both sides can be compared, and counts what became of the rest."""

    renderer: Renderer
    counts: DataFacts = field(default_factory=lambda: DataFacts(0, 0, 0, 0))

    def __call__(self, rendered: Iterable[Tokens]) -> Iterator[Tokens]:
        """The sequences to be compared, one after the other."""
        drop = self.renderer.preprocessing.overlong == "drop"
        remaining = iter(rendered)
        for pair in zip(remaining, remaining, strict=True):
            too_long = [tokens for tokens in pair if tokens.cut]
            dropped = drop and bool(too_long)
            kept = not dropped and all(tokens.supervised for tokens in pair)
            counts = self.counts
            self.counts = replace(
                counts,
                records=counts.records + 1,
                sequences=counts.sequences + 2 * kept,
                tokens=counts.tokens + kept * sum(len(tokens.ids) for tokens in pair),
                supervised_tokens=counts.supervised_tokens + kept * sum(side.supervised for side in pair),
                truncated=counts.truncated + bool(too_long),
                cut_tokens=counts.cut_tokens + sum(tokens.cut for tokens in too_long),
                cut_supervised_tokens=counts.cut_supervised_tokens
                + sum(tokens.cut_supervised for tokens in too_long),
                unsupervised=counts.unsupervised + (not dropped and not kept),
            )
            if kept:
                yield from pair

    def facts(self) -> DataFacts:
        """What became of all preferences, once they are through; logged, too. Raises `DataError` when none is
        left."""
        facts = self.counts
        if facts.truncated or facts.unsupervised:
            log.warning(
                "of %d preferences %d are longer than training.maxSequenceLength (%d), and %d have no answer "
                "within it and were left out",
                facts.records,
                facts.truncated,
                self.renderer.max_length,
                facts.unsupervised,
            )
        if not facts.sequences:
            raise DataError(
                f"none of {facts.records} preferences has two answers within training.maxSequenceLength "
                f"({self.renderer.max_length}). Raise it, or look at the data"
            )
        return facts


PAIRS = Recipe("pairs", pairs, PairedDataset)


def prepare_pairs(
    job: ResolvedJob, examples: Callable[[], list[Example]], tokenizer: Tokenizer
) -> tuple[PairedDataset, PairedDataset | None]:
    """Training and evaluation pairs of a job, as `prepare_data` makes sequences."""
    data, evaluation = train_and_evaluation(job, examples, renderer_for(job.spec, tokenizer), PAIRS)
    log.info("%d pairs of answers, %d tokens", len(data), data.facts.tokens)
    return data, evaluation


def _both(indices: Iterable[int]) -> list[int]:
    return [sequence for index in indices for sequence in (2 * index, 2 * index + 1)]
