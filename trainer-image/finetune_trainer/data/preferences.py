"""Preferences as tokens: two sequences per record, which stay together whatever happens to one of them."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import torch

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.cache import cache_key, cached
from finetune_trainer.data.dataset import (
    Batch,
    DataFacts,
    Sample,
    TokenizedDataset,
    collate,
    held_out,
)
from finetune_trainer.data.examples import Example, Origin, Preference, sides
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.preparation import CACHE, renderer_for
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.tokenizers import Tokenizer

log = logging.getLogger(__name__)

Pair = tuple[Sample, Sample]


class Divisible(Protocol):
    """Data of which a part is data of the same kind."""

    def __len__(self) -> int: ...

    def part(self, indices: Iterable[int]) -> Self:
        """The items at these indices."""


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


def tokenize_pairs(examples: Sequence[Example], renderer: Renderer) -> TokenizedDataset:
    """Two sequences per preference. A pair is left out when one of its sides is to be dropped for its length,
    or has no answer within it.

    Raises `DataError` when no pair is left, `InvalidConfigError` for examples that are no preferences.
    """
    kept: list[Tokens] = []
    overlong: list[Tokens] = []
    unsupervised = 0
    for example in examples:
        if not isinstance(example, Preference):
            raise InvalidConfigError("dataset.format: this stage compares two answers. Use format preference")
        pair = [renderer(side) for side in sides(example)]
        too_long = [tokens for tokens in pair if tokens.cut]
        overlong += too_long
        if too_long and renderer.preprocessing.overlong == "drop":
            continue
        if all(tokens.supervised for tokens in pair):
            kept += pair
        else:
            unsupervised += 1
    facts = DataFacts(
        records=len(examples),
        sequences=len(kept),
        tokens=sum(len(tokens.ids) for tokens in kept),
        supervised_tokens=sum(tokens.supervised for tokens in kept),
        truncated=len({tokens.origin for tokens in overlong}),
        cut_tokens=sum(tokens.cut for tokens in overlong),
        cut_supervised_tokens=sum(tokens.cut_supervised for tokens in overlong),
        unsupervised=unsupervised,
    )
    if facts.truncated or unsupervised:
        log.warning(
            "of %d preferences %d are longer than training.maxSequenceLength (%d), and %d have no answer "
            "within it and were left out",
            facts.records,
            facts.truncated,
            renderer.max_length,
            unsupervised,
        )
    if not kept:
        raise DataError(
            f"none of {facts.records} preferences has two answers within training.maxSequenceLength "
            f"({renderer.max_length}). Raise it, or look at the data"
        )
    return TokenizedDataset(kept, facts)


def prepare_pairs(
    job: ResolvedJob, examples: Callable[[], list[Example]], tokenizer: Tokenizer
) -> tuple[PairedDataset, PairedDataset | None]:
    """Training and evaluation pairs of a job, as `prepare_data` makes sequences."""
    spec = job.spec
    renderer = renderer_for(spec, tokenizer)
    directory = Path(job.paths.run_directory) / CACHE

    def pairs(path: str | None, read: Callable[[], list[Example]]) -> PairedDataset:
        key = cache_key(spec.dataset, path, renderer, stream=False)
        return PairedDataset(cached(directory, key, lambda: tokenize_pairs(read(), renderer)))

    data, evaluation = train_and_evaluation(job, examples, pairs)
    log.info("%d pairs of answers, %d tokens", len(data), data.facts.tokens)
    return data, evaluation


Data = TypeVar("Data", bound=Divisible)


def train_and_evaluation(
    job: ResolvedJob,
    examples: Callable[[], list[Example]],
    make: Callable[[str | None, Callable[[], list[Example]]], Data],
) -> tuple[Data, Data | None]:
    """Training and evaluation data as the job asks: from a source of its own, or held out. `make` gets where
    a source is on this machine, and how to read it. Raises `DataError`."""
    spec = job.spec
    data = make(job.paths.train, examples)
    evaluation: Data | None = None
    if (source := spec.dataset.eval) is not None:
        evaluation = make(job.paths.eval, lambda: load_examples(spec.dataset, source, job.paths.eval))
    else:
        train, kept_back = held_out(len(data), spec.dataset.eval_split, spec.training.seed)
        if kept_back:
            data, evaluation = data.part(train), data.part(kept_back)
    if evaluation is not None and (limit := spec.evaluation.max_samples) is not None:
        evaluation = evaluation.part(range(min(limit, len(evaluation))))
    return data, evaluation


def _both(indices: Iterable[int]) -> list[int]:
    return [sequence for index in indices for sequence in (2 * index, 2 * index + 1)]
