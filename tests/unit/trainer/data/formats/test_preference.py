"""The preference format: an explicit prompt, or the turns that both answers start with."""

from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Message, Origin, Record, sides
from finetune_trainer.data.formats.preference import parse

USER = {"role": "user", "content": "q"}
GOOD = {"role": "assistant", "content": "good"}
BAD = {"role": "assistant", "content": "bad"}


def texts(fields: dict[str, Any], columns: ColumnsSpec | None = None) -> tuple[str, str, str]:
    example = parse(Record(Origin("f.jsonl", 1), fields), columns or ColumnsSpec())

    def joined(messages: tuple[Message, ...]) -> str:
        return " ".join(f"{message.role}:{message.content}" for message in messages)

    return joined(example.prompt), joined(example.chosen), joined(example.rejected)


def test_tools_are_those_of_both_answers() -> None:
    """They were once left out: answers that call tools were compared without any."""
    tool = {"type": "function", "function": {"name": "add"}}
    record = Record(Origin("f", 1), {"chosen": [USER, GOOD], "rejected": [USER, BAD], "tools": [tool]})
    example = parse(record, ColumnsSpec())
    assert [side.tools for side in sides(example)] == [(tool,), (tool,)]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        # as UltraFeedback has it: the question would come twice
        {"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    ],
)
def test_the_prompt_is_given_or_shared_by_both_answers(fields: dict[str, Any]) -> None:
    assert texts(fields) == ("user:q", "assistant:good", "assistant:bad")


def test_a_prompt_within_the_conversations_of_both_answers_is_no_turn_of_its_own() -> None:
    before = [{"role": "system", "content": "s"}, USER, {"role": "assistant", "content": "a"}, USER]
    fields = {"prompt": "q", "chosen": [*before, GOOD], "rejected": [*before, BAD]}
    assert texts(fields) == ("system:s user:q assistant:a user:q", "assistant:good", "assistant:bad")


def test_another_prompt_than_what_both_answers_start_with_stands_in_front() -> None:
    follow_up = {"role": "user", "content": "and?"}
    fields = {"prompt": "q", "chosen": [follow_up, GOOD], "rejected": [follow_up, BAD]}
    assert texts(fields) == ("user:q", "user:and? assistant:good", "user:and? assistant:bad")


def test_the_system_prompt_is_part_of_the_prompt() -> None:
    fields = {"system": "s", "prompt": "q", "chosen": "good", "rejected": "bad"}
    assert texts(fields)[0] == "system:s user:q"


def test_columns_may_have_other_names() -> None:
    columns = ColumnsSpec(prompt="ask", chosen="win", rejected="lose")
    assert texts({"ask": "q", "win": "good", "lose": "bad"}, columns)[0] == "user:q"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt": "q", "chosen": "good"}, "'rejected' is missing; the record has: chosen, prompt"),
        ({"prompt": "q", "chosen": "x", "rejected": "x"}, "'chosen' and 'rejected' are the same"),
        ({"chosen": "good", "rejected": "bad"}, "there is no prompt"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "there is no prompt"),
        ({"prompt": "q", "chosen": [USER], "rejected": "bad"}, "'chosen' has no turn of the assistant"),
        ({"prompt": "q", "chosen": "", "rejected": "bad"}, "'chosen' is empty"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        texts(fields)
