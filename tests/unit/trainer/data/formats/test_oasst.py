"""The oasst format: trees of messages become the threads that end in an answer."""

import math
from typing import Any

import pytest

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecord, BrokenRecordError, Origin, Record
from finetune_trainer.data.formats.oasst import gather, parse


def message(name: str, parent: str | None, **fields: Any) -> dict[str, Any]:
    role = "prompter" if name.startswith("p") else "assistant"
    return {"message_id": name, "parent_id": parent, "role": role, "text": name} | fields


def threads(*messages: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The texts of each thread, joined; and what is wrong with messages."""
    records = (Record(Origin("f", line), fields) for line, fields in enumerate(messages, start=1))
    found: list[str] = []
    problems: list[str] = []
    for record in gather(records):
        if isinstance(record, BrokenRecord):
            problems.append(str(record))
        else:
            conversation = parse(record, ColumnsSpec())
            found.append(" ".join(turn.content for turn in conversation.messages))
    return found, problems


def test_each_path_from_the_root_to_a_leaf_is_a_conversation_in_any_order_of_the_file() -> None:
    tree = [message("p1", None), message("a1", "p1"), message("p2", "a1"), message("a2", "p2")]
    branch = [message("p3", "a1"), message("a3", "p3")]
    assert threads(*reversed(tree), *branch) == (["p1 a1 p2 a2", "p1 a1 p3 a3"], [])


def test_an_unanswered_turn_of_the_user_is_left_off_and_no_thread_comes_twice() -> None:
    tree = [message("p1", None), message("a1", "p1"), message("p2", "a1"), message("p3", "a1")]
    assert threads(*tree) == (["p1 a1"], [])


def test_only_the_best_ranked_reply_of_the_assistant_is_followed() -> None:
    tree = [message("p1", None), message("a1", "p1", rank=1), message("a2", "p1", rank=0)]
    assert threads(*tree) == (["p1 a2"], [])


def test_deleted_messages_are_left_out_with_what_follows_them() -> None:
    deleted = message("a1", "p1", deleted=True)
    tree = [message("p1", None), deleted, message("p2", "a1"), message("a2", "p2"), message("a3", "p1")]
    assert threads(*tree) == (["p1 a3"], [])
    assert threads(message("p1", None, deleted=True), message("a1", "p1")) == ([], [])


def test_messages_that_answer_one_another_in_a_circle_are_named_instead_of_lost() -> None:
    found, problems = threads(
        message("p1", None), message("a1", "p1"), message("p2", "a2"), message("a2", "p2")
    )
    assert found == ["p1 a1"]
    circle = "its parents lead to no root: they are not all there, or go round in a circle"
    assert problems == [f"f, line 3: {circle}", f"f, line 4: {circle}"]


def test_a_rank_that_is_not_a_number_is_none() -> None:
    """Tables write a missing one so."""
    tree = [message("p1", None), message("a1", "p1", rank=math.nan), message("a2", "p1", rank=1.0)]
    assert threads(*tree) == (["p1 a2"], [])


def test_several_trees_in_one_file_are_conversations_of_their_own() -> None:
    trees = [message("p1", None), message("p2", None), message("a2", "p2"), message("a1", "p1")]
    assert threads(*trees) == (["p1 a1", "p2 a2"], [])


def test_nested_trees_are_read_too() -> None:
    answer = {"role": "assistant", "text": "a", "replies": []}
    tree = {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "p", "replies": [answer]}}
    assert threads(tree) == (["p a"], [])


def test_a_lost_parent_a_doubled_id_and_a_record_of_another_kind_are_named() -> None:
    found, problems = threads(
        message("p1", None), message("a1", "p1"), message("a9", "p9"), message("a1", "p1"), {"text": "x"}
    )
    assert found == ["p1 a1"]
    assert problems == [
        "f, line 4: its 'message_id' 'a1' is that of an earlier message",
        "f, line 5: has no 'message_id' (flat messages) and no 'prompt' with 'replies' (trees)",
        "f, line 3: its 'parent_id' 'p9' is no message of this data",
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"role": "robot"}, "a1: 'role' is 'robot'; it must be one of prompter, assistant"),
        ({"text": None}, "a1: 'text' must be text"),
        ({"text": " "}, "a1: 'text' is empty"),
    ],
)
def test_a_message_that_cannot_be_used_is_named_by_its_id(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BrokenRecordError, match=problem):
        threads(message("p1", None), message("a1", "p1", **fields))
