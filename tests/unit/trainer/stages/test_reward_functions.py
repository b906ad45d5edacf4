"""Rewards: a closed set, named by the API."""

from typing import get_args

import pytest

from finetune_api.stages import RewardFunction
from finetune_trainer.stages.reward_functions import REWARDS, Answer


def answer(text: str, expected: str = "", tokens: int = 4, ended: bool = True) -> Answer:
    return Answer(text, expected, tokens, limit=8, ended=ended)


def test_the_api_names_exactly_the_functions_that_are_there() -> None:
    assert set(REWARDS) == set(get_args(RewardFunction))


@pytest.mark.parametrize(
    ("name", "given", "reward"),
    [
        ("exactMatch", answer(" 42\n", "42"), 1),
        ("exactMatch", answer("42.", "42"), 0),
        ("contains", answer("It is PARIS.", "Paris"), 1),
        ("contains", answer("It is Rome.", "Paris"), 0),
        ("numericMatch", answer("3 + 4 makes 1,007.0", "The sum is 1007"), 1),
        ("numericMatch", answer("-7", "7"), 0),
        ("numericMatch", answer("1,2,3", "3"), 1),
        ("numericMatch", answer("1,2,3", "123"), 0),
        ("numericMatch", answer("so e", "7"), 0),
        ("numericMatch", answer("no number", "none here"), 0),
        ("validJson", answer('{"a": [1]}'), 1),
        ("validJson", answer("{a: 1}"), 0),
        ("validJson", answer("[" * 100_000), 0),
        ("thinkFormat", answer("<think>so\nit is</think>\n7"), 1),
        ("thinkFormat", answer("<think>a</think><think>b</think>"), 0),
        ("thinkFormat", answer("7"), 0),
        ("ended", answer("", ended=False), 0),
        ("brevity", answer("", tokens=2), 0.75),
    ],
)
def test_an_answer_is_worth(name: str, given: Answer, reward: float) -> None:
    assert REWARDS[name](given) == reward
