"""The sharegpt format: turns of from and value."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Conversation, Origin, Record
from finetune_trainer.data.formats.sharegpt import parse

HUMAN = {"from": "human", "value": "q"}
GPT = {"from": "gpt", "value": "a"}


def conversation(fields: dict[str, Any], columns: ColumnsSpec | None = None) -> Conversation:
    return parse(Record(Origin("f.jsonl", 1), fields), columns or ColumnsSpec())


def turns(fields: dict[str, Any], columns: ColumnsSpec | None = None) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation(fields, columns).messages]


def test_human_and_gpt_are_user_and_assistant_behind_the_system_prompt() -> None:
    assert turns({"system": "s", "conversations": [HUMAN, GPT]}) == [
        ("system", "s"),
        ("user", "q"),
        ("assistant", "a"),
    ]


def test_columns_and_keys_may_have_other_names() -> None:
    columns = ColumnsSpec(messages="chat", role="who", content="says")
    chat = [{"who": "human", "says": "q"}, {"who": "gpt", "says": "a"}]
    assert turns({"chat": chat}, columns) == [("user", "q"), ("assistant", "a")]


def test_a_function_call_is_a_call_of_the_assistant_and_its_observation_a_turn_of_the_tool() -> None:
    call = {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'}
    seen = {"from": "observation", "value": "2"}
    tool = {"name": "add", "parameters": {}}
    example = conversation({"conversations": [HUMAN, call, seen, GPT], "tools": [tool]})
    assert [message.role for message in example.messages] == ["user", "assistant", "tool", "assistant"]
    assert example.messages[1].tool_calls == (
        {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}},
    )
    assert example.tools == (tool,)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"text": "x"}, "'conversations' is missing; the record has: text"),
        ({"conversations": {}}, "'conversations' must be a list of turns, not an object"),
        ({"conversations": [HUMAN]}, "no turn of the assistant"),
        ({"conversations": [{"from": "robot", "value": "x"}]}, r"conversations\[0\].from is 'robot'"),
        ({"conversations": [HUMAN, {"from": "gpt", "value": 3}]}, r"\[1\].value must be text, not a number"),
        ({"conversations": [HUMAN, {"from": "gpt", "value": ""}]}, r"\[1\].value is empty"),
        ({"conversations": [{"from": "function_call", "value": "add(1)"}]}, r"\[0\] is a function_call that"),
        ({"conversations": [{"from": "function_call", "value": "[]"}]}, "calls nothing"),
        ({"conversations": [{"from": "function_call", "value": "[{}]"}]}, "must name the function"),
    ],
)
def test_a_record_that_cannot_be_used_says_which_turn_and_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        conversation(fields)
