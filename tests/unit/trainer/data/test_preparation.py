"""From examples to what is trained on: read once, held out, packed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.data.examples import Example
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.recipes import prepare
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer, complete_tokenizer, load_tokenizer

MakeJob = Callable[..., ResolvedJob]


class Reader:
    """Reads a job's training data, and counts how often."""

    def __init__(self, job: ResolvedJob) -> None:
        self.job, self.times = job, 0

    def __call__(self) -> list[Example]:
        self.times += 1
        return load_examples(self.job.spec.dataset, self.job.spec.dataset.train, self.job.paths.train)


@pytest.fixture
def tokenizer(make_job: MakeJob, tiny_model: Path) -> Tokenizer:
    model = make_job().spec.model
    return complete_tokenizer(
        load_tokenizer(model, base=str(tiny_model), revision=None), model, use_chat_template=True
    )


def prepared(job: ResolvedJob, tokenizer: Tokenizer) -> tuple[Any, Any, int]:
    reader = Reader(job)
    return *prepare(job, reader, tokenizer), reader.times


def test_a_later_attempt_reads_and_tokenises_nothing(make_job: MakeJob, tokenizer: Tokenizer) -> None:
    first, _, read = prepared(make_job(), tokenizer)
    again, _, read_again = prepared(make_job(attempt=2), tokenizer)
    assert (read, read_again) == (1, 0)
    assert again.facts == first.facts
    assert [one.ids.tolist() for one in again.sequences] == [one.ids.tolist() for one in first.sequences]


def test_another_file_is_read_again(
    make_job: MakeJob, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    prepared(make_job(), tokenizer)
    write_jsonl([{"instruction": "new", "output": "x"}])
    data, _, read = prepared(make_job(), tokenizer)
    assert read == 1
    assert len(data) == 1


def test_held_out_records_are_the_same_with_and_without_the_cache_and_never_packed(
    make_job: MakeJob, tokenizer: Tokenizer
) -> None:
    job = make_job({"dataset": {"evalSplit": 0.25, "packing": True}})
    for _ in range(2):
        data, held_out, _ = prepared(job, tokenizer)
        assert isinstance(data, PackedDataset)
        assert len(data.records) == 15
        assert len(data) < 15
        lines = {origin.line for origin in held_out.origins(range(5))}
        assert lines.isdisjoint(origin.line for origin in data.origins(range(len(data))))
        assert len(lines) == 5


def test_evaluation_data_of_its_own_is_kept_too(
    make_job: MakeJob, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    path = write_jsonl([{"instruction": "a", "output": "b"}] * 3, "eval.jsonl")
    job = make_job({"dataset": {"eval": {"path": str(path)}}, "evaluation": {"maxSamples": 2}})
    for _ in range(2):
        _, evaluation, _ = prepared(job, tokenizer)
        assert len(evaluation) == 2
    kept = [entry for entry in (Path(job.paths.run_directory) / "data").iterdir() if entry.is_dir()]
    assert len(kept) == 2


def test_runs_of_several_seeds_hold_out_the_same_where_they_share_the_seed_of_their_data(
    make_job: MakeJob, tokenizer: Tokenizer
) -> None:
    def held_out(**seeds: int) -> list[int]:
        job = make_job({"dataset": {"evalSplit": 0.25}, "training": seeds})
        _, evaluation, _ = prepared(job, tokenizer)
        return [origin.line for origin in evaluation.origins(range(len(evaluation)))]

    assert held_out(seed=1, dataSeed=7) == held_out(seed=2, dataSeed=7) == held_out(seed=7)
    assert held_out(seed=1) != held_out(seed=2)


def test_evaluation_data_without_anything_to_learn_is_named(
    make_job: MakeJob, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    path = write_jsonl([{"instruction": "add " * 100, "output": "2"}], "eval.jsonl")
    with pytest.raises(DataError, match=r"^dataset\.eval: none of 1 records"):
        prepared(make_job({"dataset": {"eval": {"path": str(path)}}}), tokenizer)
