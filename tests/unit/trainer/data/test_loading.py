"""From a source to examples: a broken record ends the run, with file and line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.dataset import DatasetSpec
from finetune_trainer.data.examples import Conversation
from finetune_trainer.data.loading import load_examples
from finetune_trainer.errors import DataError

GOOD = {"instruction": "a", "output": "b"}


def dataset(path: Path, **fields: Any) -> DatasetSpec:
    return DatasetSpec.from_json_object({"format": "alpaca", "train": {"path": str(path)}, **fields})


def load(path: Path, **fields: Any) -> list[Any]:
    spec = dataset(path, **fields)
    return load_examples(spec, spec.train, str(path))


def test_examples_come_in_the_order_of_the_file(write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl([GOOD, {"instruction": "c", "output": "d"}])
    examples = load(path)
    assert all(isinstance(example, Conversation) for example in examples)
    assert [example.messages[-1].content for example in examples] == ["b", "d"]
    assert [example.origin.line for example in examples] == [1, 2]


def test_broken_records_are_counted_and_the_first_are_named(write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl([GOOD, {"instruction": "a"}, GOOD, {"instruction": "a", "output": ""}])
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value) == (
        "2 of 4 records cannot be used: train.jsonl, line 2: 'output' is missing; the record has: "
        "instruction. See dataset.columns; train.jsonl, line 4: 'output' is empty; it must hold text"
    )


def test_a_message_about_many_broken_records_stays_short(write_jsonl: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"line 5: .*; and 95 more$"):
        load(write_jsonl([{"instruction": "a"}] * 100))


def test_max_samples_reads_no_further(write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl([GOOD, GOOD, {"instruction": "broken, but never read"}])
    assert len(load(path, maxSamples=2)) == 2


def test_a_file_without_records_is_an_error(write_jsonl: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="holds no records"):
        load(write_jsonl([]))


@pytest.mark.parametrize(
    ("value", "desired"), [(True, True), (0, False), ("false", False), ("1", True), (None, None)]
)
def test_a_record_may_say_whether_its_answer_is_desired(
    write_jsonl: Callable[..., Path], value: object, desired: bool | None
) -> None:
    (example,) = load(write_jsonl([GOOD | {"label": value}]))
    assert example.desired is desired


def test_a_column_of_labels_that_is_named_must_hold_them(write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl([GOOD | {"liked": "very"}])
    assert load(path)[0].desired is None
    with pytest.raises(DataError, match=r"line 1: 'liked' must be true or false, not str"):
        load(path, columns={"label": "liked"})


@pytest.mark.parametrize("field", ["input", "system", "history", "tools"])
def test_a_column_that_no_record_has_is_named(write_jsonl: Callable[..., Path], field: str) -> None:
    path = write_jsonl([GOOD, GOOD])
    with pytest.raises(DataError, match=f"dataset.columns.{field}: no record has 'misspelt'"):
        load(path, columns={field: "misspelt"})
    assert len(load(path, columns={field: "misspelt"}, maxSamples=2)) == 2, "others may have it"


def test_a_column_that_some_records_have_is_enough(write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl([GOOD, GOOD | {"who": "be brief"}])
    assert [len(example.messages) for example in load(path, columns={"system": "who"})] == [2, 3]


def test_evaluation_data_may_lack_a_column(write_jsonl: Callable[..., Path]) -> None:
    path = write_jsonl([GOOD])
    spec = dataset(path, columns={"system": "who"}, eval={"path": "/other"})
    assert spec.eval is not None
    assert len(load_examples(spec, spec.eval, str(path))) == 1
