"""The custom format: the columns that are named decide what a record is."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import (
    BrokenRecordError,
    Conversation,
    Document,
    Example,
    Origin,
    Preference,
    Record,
)
from finetune_trainer.data.formats.custom import parse
from finetune_trainer.errors import InvalidConfigError


def example(fields: dict[str, Any], **columns: str) -> Example:
    return parse(Record(Origin("f.jsonl", 1), fields), ColumnsSpec.from_json_object(columns))


def turns(fields: dict[str, Any], **columns: str) -> list[tuple[str, str]]:
    found = example(fields, **columns)
    assert isinstance(found, Conversation)
    return [(message.role, message.content) for message in found.messages]


def test_the_prompt_may_be_a_template_over_columns() -> None:
    fields = {"country": "France", "year": 1789, "note": None, "capital": "Paris"}
    template = "Capital of {country} in {year}?{note} Answer in {{braces}}."
    assert turns(fields, promptTemplate=template, output="capital") == [
        ("user", "Capital of France in 1789? Answer in {braces}."),
        ("assistant", "Paris"),
    ]


def test_nothing_in_a_template_or_record_is_evaluated() -> None:
    fields = {"a": "{b} {a.__class__}", "out": "x"}
    assert turns(fields, promptTemplate="{a}", output="out")[0] == ("user", "{b} {a.__class__}")
    with pytest.raises(BrokenRecordError, match=r"'a.__class__' is missing"):
        example(fields, promptTemplate="{a.__class__}", output="out")


def test_instruction_input_and_output_may_be_any_columns() -> None:
    fields = {"task": "add", "given": "1, 2", "sum": "3", "who": "s"}
    columns = {"instruction": "task", "input": "given", "output": "sum", "system": "who"}
    assert turns(fields, **columns) == [("system", "s"), ("user", "add\n\n1, 2"), ("assistant", "3")]


def test_other_kinds_of_records_are_told_by_their_columns() -> None:
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert turns({"chat": chat}, messages="chat") == [("user", "q"), ("assistant", "a")]
    assert turns({"p": "q", "c": "a"}, prompt="p", completion="c") == [("user", "q"), ("assistant", "a")]
    assert isinstance(example({"body": "text"}, text="body"), Document)
    fields = {"prompt": "q", "win": "a", "lose": "b"}
    assert isinstance(example(fields, chosen="win", rejected="lose"), Preference)


def test_columns_that_make_no_record_are_a_mistake_of_the_spec() -> None:
    with pytest.raises(InvalidConfigError, match="the columns named make no record"):
        example({"a": "b"}, instruction="a")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"out": "x"}, "'a' is missing; the record has: out"),
        ({"a": [1], "out": "x"}, "'a' must be text or a number, not a list"),
        ({"a": " ", "out": "x"}, "the prompt is empty"),
        ({"a": "q", "out": ""}, "'out' is empty"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        example(fields, promptTemplate="{a}", output="out")
