"""Turns with tools: what a template gets, and what is refused."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Json, Message, Origin, Record
from finetune_trainer.data.formats.turns import read_messages, read_tools, with_system

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}


def message(**turn: Any) -> Message:
    (found,) = read_messages([turn], "messages", ColumnsSpec())
    return found


def tools(value: object) -> tuple[Json, ...]:
    return read_tools(Record(Origin("f", 1), {"tools": value}), "tools")


def test_a_call_may_stand_without_text_and_keeps_its_id() -> None:
    called = message(role="assistant", content=None, tool_calls=[{"id": "c1", **CALL}])
    assert called.to_template() == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", **CALL}],
    }


def test_arguments_written_as_text_are_read() -> None:
    call = {"function": {"name": "add", "arguments": '{"a": 1}'}}
    assert message(role="assistant", content="", tool_calls=[call]).tool_calls == (CALL,)


def test_a_tool_answers_under_its_name_and_the_id_of_the_call() -> None:
    turn = {"role": "tool", "content": "3", "name": "add", "tool_call_id": "c1"}
    assert message(**turn).to_template() == turn


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert message(role="user", content=parts).content == "ab"


@pytest.mark.parametrize("value", [[TOOL], f"[{TOOL}]".replace("'", '"')])
def test_tools_may_be_a_list_or_text_that_holds_one(value: object) -> None:
    assert tools(value) == (TOOL,)


@pytest.mark.parametrize("value", [None, "", []])
def test_no_tools_are_no_tools(value: object) -> None:
    assert tools(value) == ()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "'tools' must be a list of tools, not an object"),
        (["add"], r"tools\[0\] must be an object"),
        ([{"function": {}}], r"tools\[0\] must be a JSON schema of a function with a 'name'"),
        ("[{", "'tools' is text that is not valid JSON"),
    ],
)
def test_tools_that_are_none_are_refused(value: object, problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        tools(value)


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        ({"role": "assistant", "content": "", "tool_calls": "add"}, "tool_calls must be a list of calls"),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, r"tool_calls\[0\] must name the function"),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "{"}]},
            r"tool_calls\[0\].arguments is text that is not valid JSON",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "[]"}]},
            r"arguments must be an object, not a list",
        ),
        ({"role": "user", "content": "q", "tool_calls": [CALL]}, "only the assistant can"),
        ({"role": "user", "content": [{"type": "image"}]}, r"content\[0\] is no text"),
        ({"role": "tool", "content": "3", "name": 5}, r"messages\[0\].name must be text"),
    ],
)
def test_a_turn_that_cannot_be_used_says_where_and_why(turn: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        message(**turn)


QUESTION = Message("user", "q")


def with_prompt(prompt: object, *turns: Message) -> tuple[Message, ...]:
    return with_system(Record(Origin("f", 1), {"who": prompt}), "who", turns)


@pytest.mark.parametrize("prompt", [None, ""])
def test_without_a_system_prompt_the_turns_are_all(prompt: object) -> None:
    own = Message("system", "s")
    assert with_prompt(prompt, own, QUESTION) == (own, QUESTION)


def test_a_system_prompt_stands_before_the_turns_and_only_once() -> None:
    system = Message("system", "s")
    assert with_prompt("s", QUESTION) == (system, QUESTION)
    assert with_prompt("s", system, QUESTION) == (system, QUESTION)


def test_two_system_prompts_that_differ_are_refused() -> None:
    with pytest.raises(
        BrokenRecordError, match=r"'who' .* another one\. Remove one .* dataset.columns.system"
    ):
        with_prompt("s", Message("system", "other"), QUESTION)
