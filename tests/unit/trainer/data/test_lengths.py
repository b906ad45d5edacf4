"""Lengths are counted, unless a column says them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.data import lengths
from finetune_trainer.data.lengths import lengths_to_group_by
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.recipes import prepare
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import complete_tokenizer, load_tokenizer

MakeJob = Callable[..., ResolvedJob]
GROUPED = {"sampling": "groupByLength"}
GIVEN = {"training": GROUPED, "dataset": {"columns": {"length": "size"}}}


@pytest.fixture
def data_of(tiny_model: Path) -> Callable[[ResolvedJob], TrainingData]:
    def prepared(job: ResolvedJob) -> TrainingData:
        spec = job.spec
        tokenizer = complete_tokenizer(
            load_tokenizer(spec.model, base=str(tiny_model), revision=None),
            spec.model,
            use_chat_template=True,
        )
        read = lambda: load_examples(spec.dataset, spec.dataset.train, job.paths.train)  # noqa: E731
        return prepare(job, read, tokenizer)[0]

    return prepared


@pytest.fixture
def write(write_jsonl: Callable[..., Path]) -> Callable[..., None]:
    def records(*sizes: Any) -> None:
        write_jsonl([{"instruction": f"say {size}", "output": "so", "size": size} for size in sizes])

    return records


def test_nothing_is_counted_where_nothing_is_grouped(
    make_job: MakeJob, data_of: Callable[[ResolvedJob], TrainingData]
) -> None:
    assert lengths_to_group_by(make_job(), data_of(make_job())) is None


def test_tokens_are_counted(make_job: MakeJob, data_of: Callable[[ResolvedJob], TrainingData]) -> None:
    job = make_job({"training": GROUPED})
    data = data_of(job)
    assert lengths_to_group_by(job, data) == data.lengths()


def test_a_column_says_the_lengths(
    make_job: MakeJob, write: Callable[..., None], data_of: Callable[[ResolvedJob], TrainingData]
) -> None:
    write(7, 300, "20")
    job = make_job(GIVEN)
    assert lengths_to_group_by(job, data_of(job)) == [7, 300, 20]


def test_one_rank_reads_the_column_for_all(
    monkeypatch: pytest.MonkeyPatch,
    make_job: MakeJob,
    write: Callable[..., None],
    data_of: Callable[[ResolvedJob], TrainingData],
) -> None:
    """What `on_first_rank` does for ranks that wait is in `test_distributed.py`."""
    write(7, 300)
    job = make_job(GIVEN)
    data = data_of(job)
    monkeypatch.setattr(lengths, "on_first_rank", lambda _work: [1, 2])
    monkeypatch.setattr(lengths, "read_examples", lambda *_: pytest.fail("another rank has read it"))
    assert lengths_to_group_by(job, data) == [1, 2]


@pytest.mark.parametrize("size", [None, 0, -3, 2.5, True, "many", [4]])
def test_a_record_without_a_usable_length_is_named(
    make_job: MakeJob, write: Callable[..., None], data_of: Callable[[ResolvedJob], TrainingData], size: Any
) -> None:
    write(7, size)
    job = make_job(GIVEN)
    with pytest.raises(DataError, match=r"train\.jsonl, line 2: dataset\.columns\.length: 'size' must hold"):
        lengths_to_group_by(job, data_of(job))
