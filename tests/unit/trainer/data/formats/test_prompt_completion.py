"""The promptCompletion format: text or lists of messages."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Origin, Record
from finetune_trainer.data.formats.prompt_completion import parse

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}


def turns(fields: dict[str, Any], columns: ColumnsSpec | None = None) -> list[tuple[str, str]]:
    conversation = parse(Record(Origin("f.jsonl", 1), fields), columns or ColumnsSpec())
    return [(message.role, message.content) for message in conversation.messages]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "q", "completion": "a"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"prompt": [USER], "completion": "a"},
        {"prompt": "q", "completion": [USER, ANSWER]},
        {"prompt": '[{"role": "user", "content": "q"}]', "completion": "a"},
    ],
)
def test_prompt_and_completion_are_a_question_and_its_answer(fields: dict[str, Any]) -> None:
    assert turns(fields) == [("user", "q"), ("assistant", "a")]


def test_text_that_merely_looks_like_a_list_stays_text() -> None:
    assert turns({"prompt": "[1, 2] sorted?", "completion": "[1"}) == [
        ("user", "[1, 2] sorted?"),
        ("assistant", "[1"),
    ]


def test_columns_may_have_other_names() -> None:
    columns = ColumnsSpec(prompt="ask", completion="say", system="be")
    assert turns({"ask": "q", "say": "a", "be": "s"}, columns)[0] == ("system", "s")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt": "q"}, "'completion' is missing; the record has: prompt"),
        ({"prompt": "", "completion": "a"}, "'prompt' is empty"),
        ({"prompt": 3, "completion": "a"}, r"'prompt' must be text, not a number \(3\)"),
        ({"prompt": "q", "completion": [USER]}, "'completion' has no turn of the assistant"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        turns(fields)
