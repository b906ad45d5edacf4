"""The alpaca format: what becomes prompt and answer, and what is refused."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Message, Origin, Record
from finetune_trainer.data.formats.alpaca import parse


def turns(fields: dict[str, Any], columns: ColumnsSpec | None = None) -> list[tuple[str, str]]:
    conversation = parse(Record(Origin("f.jsonl", 1), fields), columns or ColumnsSpec())
    return [(message.role, message.content) for message in conversation.messages]


def test_an_instruction_and_an_output_are_one_question_and_one_answer() -> None:
    assert turns({"instruction": "Say hi", "output": "hi"}) == [("user", "Say hi"), ("assistant", "hi")]


def test_the_input_follows_the_instruction_after_a_blank_line() -> None:
    assert turns({"instruction": "Double", "input": "4", "output": "8"})[0] == ("user", "Double\n\n4")


def test_an_empty_input_adds_nothing() -> None:
    assert turns({"instruction": "Say hi", "input": "", "output": "hi"})[0] == ("user", "Say hi")


def test_history_comes_before_the_question_and_system_before_everything() -> None:
    record = {"instruction": "c", "output": "d", "history": [["a", "b"]], "system": "be brief"}
    assert turns(record) == [
        ("system", "be brief"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
    ]


def test_columns_may_have_other_names() -> None:
    columns = ColumnsSpec(instruction="question", output="reply")
    assert turns({"question": "q", "reply": "r"}, columns) == [("user", "q"), ("assistant", "r")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"instruction": "a"}, "'output' is missing; the record has: instruction"),
        ({"instruction": "a", "output": "  "}, "'output' is empty"),
        ({"instruction": "a", "output": 3}, r"'output' must be text, not a number \(3\)"),
        ({"instruction": ["a"], "output": "b"}, "'instruction' must be text, not a list"),
        ({"instruction": "a", "output": "b", "history": "x"}, "'history' must be a list"),
        ({"instruction": "a", "output": "b", "history": [["only one"]]}, "pair 1 must be"),
    ],
)
def test_a_record_that_cannot_be_used_says_which_part_and_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        turns(fields)


def test_messages_are_plain_values() -> None:
    assert parse(Record(Origin("f", 1), {"instruction": "a", "output": "b"}), ColumnsSpec()).messages[
        0
    ] == Message("user", "a")
