"""A model as a benchmark sees it, and what a benchmark has to say about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from finetune_api.evaluation import BenchmarkSpec
from finetune_api.stages import SamplingSpec
from finetune_trainer.data.asking import Prompt
from finetune_trainer.data.examples import BrokenRecord, Origin, Record
from finetune_trainer.data.reading import RECORD_SUFFIXES, find_files, read_records
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer
from finetune_trainer.output.sample import answer


@dataclass
class Subject:
    """A loaded model that answers questions."""

    model: Any
    tokenizer: Tokenizer
    answers_turns: bool
    """Whether it was taught conversations; else it goes on with plain text."""
    batch_size: int
    system: str | None = None
    """What conversations without a system turn of their own begin with, as they did in training."""

    def answers(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[str]:
        """The likeliest answer to each prompt."""
        sampling = SamplingSpec(max_new_tokens=max_new_tokens, temperature=0)
        return answer(self.model, self.tokenizer, prompts, sampling, batch_size=self.batch_size)


@dataclass(frozen=True)
class Scored:
    """What a benchmark found out about one subject."""

    scores: dict[str, float]
    samples: int
    details: list[dict[str, Any]] = field(default_factory=list)
    """One entry per question, for the benchmark's file."""
    note: str | None = None
    """What is to be known of the scores, for the status."""


Benchmark = Callable[[Subject, BenchmarkSpec, "Path | None"], Scored]
"""Runs a benchmark of one type; the path is where its questions are on this machine, if it has any."""


def questions(spec: BenchmarkSpec, path: Path | None) -> list[Record]:
    """The records of a benchmark's own data, as many as are asked. Raises `DataError`."""
    limit = None if spec.max_samples is None else spec.max_samples + spec.few_shot
    found: list[Record] = []
    for record in islice(_records(spec, path), limit):
        if isinstance(record, BrokenRecord):
            raise DataError(f"evaluation.benchmarks {spec.name}: {record}")
        found.append(record)
    if len(found) <= spec.few_shot:
        raise DataError(
            f"evaluation.benchmarks {spec.name}: {len(found)} records, of which {spec.few_shot} are examples"
        )
    return found


def hub_records(id: str, config: str | None, split: str, revision: str | None) -> Iterator[Record]:
    """The rows of a data set on the hub. Raises what the library does."""
    from datasets import load_dataset

    for number, row in enumerate(load_dataset(id, config, split=split, revision=revision), start=1):
        yield Record(Origin(f"{id} ({split})", number, "row"), dict(row))


def _records(spec: BenchmarkSpec, path: Path | None) -> Iterator[Record | BrokenRecord]:
    if path is not None:
        for file in find_files(str(path), RECORD_SUFFIXES):
            yield from read_records(file)
    elif spec.prompts is not None and (hub := spec.prompts.hub) is not None:
        yield from hub_records(hub.id, hub.config, hub.split, hub.revision)


def mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over all questions; there must be one."""
    return {name: sum(each[name] for each in scores) / len(scores) for name in scores[0]}
