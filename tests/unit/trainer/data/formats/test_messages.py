"""The messages format: turns with role and content."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Origin, Record
from finetune_trainer.data.formats.messages import parse

QUESTION = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}


def turns(fields: dict[str, Any], columns: ColumnsSpec | None = None) -> list[tuple[str, str]]:
    conversation = parse(Record(Origin("f.jsonl", 1), fields), columns or ColumnsSpec())
    return [(message.role, message.content) for message in conversation.messages]


def test_turns_keep_their_order() -> None:
    system = {"role": "system", "content": "s"}
    assert turns({"messages": [system, QUESTION, ANSWER, QUESTION, ANSWER]}) == [
        ("system", "s"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "q"),
        ("assistant", "a"),
    ]


def test_keys_may_have_other_names() -> None:
    columns = ColumnsSpec(messages="chat", role="who", content="says")
    chat = [{"who": "user", "says": "q"}, {"who": "assistant", "says": "a"}]
    assert turns({"chat": chat}, columns) == [("user", "q"), ("assistant", "a")]


def test_a_cell_of_a_table_may_hold_the_turns_as_json() -> None:
    assert turns({"messages": '[{"role": "assistant", "content": "a"}]'}) == [("assistant", "a")]


@pytest.mark.parametrize("key", ["reasoning_content", "thinking"])
def test_reasoning_goes_to_the_template_under_both_its_names(key: str) -> None:
    conversation = parse(
        Record(Origin("f", 1), {"messages": [QUESTION, ANSWER | {key: "hm"}]}), ColumnsSpec()
    )
    turn = conversation.messages[1].to_template()
    assert (turn["reasoning_content"], turn["thinking"]) == ("hm", "hm")
    assert "thinking" not in conversation.messages[0].to_template()


def test_tools_come_with_the_conversation() -> None:
    tool = {"type": "function", "function": {"name": "add"}}
    record = Record(Origin("f", 1), {"messages": [QUESTION, ANSWER], "tools": [tool]})
    assert parse(record, ColumnsSpec()).tools == (tool,)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"text": "x"}, "'messages' is missing; the record has: text"),
        ({"messages": "x"}, "'messages' must be a list of messages, not str"),
        ({"messages": [QUESTION]}, "no turn of the assistant"),
        ({"messages": []}, "no turn of the assistant"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            r"messages\[0\].role is 'robot'; it must be one of",
        ),
        (
            {"messages": [QUESTION, {"role": "assistant", "content": None}]},
            r"messages\[1\].content must be text",
        ),
        ({"messages": [QUESTION, {"role": "assistant", "content": " "}]}, r"messages\[1\].content is empty"),
        ({"messages": ["hello"]}, r"messages\[0\] must be an object"),
        (
            {"messages": [QUESTION, {"role": "assistant", "content": "", "tool_calls": [{}]}]},
            r"messages\[1\].tool_calls\[0\] must name the function",
        ),
        ({"messages": "[{"}, "'messages' is text that is not valid JSON"),
    ],
)
def test_a_record_that_cannot_be_used_says_which_turn_and_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        turns(fields)
