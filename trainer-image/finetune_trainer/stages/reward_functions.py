"""What an answer is worth: the closed set of functions that `training.grpo.rewardFunctions` names.

A job never brings code of its own. To add a function, write it here and name it in the API.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer.numbers_in_text import last_number, same_number

THOUGHT = re.compile(r"<think>(?!.*<think>).*?</think>.*", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """One drawn answer."""

    text: str
    """Without special tokens."""
    expected: str
    """The record's own answer."""
    tokens: int
    limit: int
    """`sampling.maxNewTokens`."""
    ended: bool
    """Whether it ended by itself, before the limit."""


def exact_match(answer: Answer) -> float:
    """1 for the expected text, whitespace around it aside."""
    return float(answer.text.strip() == answer.expected.strip())


def contains(answer: Answer) -> float:
    """1 when the expected text is a part of the answer, in upper or lower case."""
    return float(answer.expected.strip().casefold() in answer.text.casefold())


def numeric_match(answer: Answer) -> float:
    """1 when the last number of the answer is the last one of the expected text, as benchmarks have it."""
    given, expected = last_number(answer.text), last_number(answer.expected)
    return float(given is not None and expected is not None and same_number(given, expected))


def valid_json(answer: Answer) -> float:
    """1 for text that is JSON."""
    try:
        json.loads(answer.text)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0


def think_format(answer: Answer) -> float:
    """1 for one thought in <think> tags, and the answer after it."""
    return float(THOUGHT.fullmatch(answer.text.strip()) is not None)


def ended(answer: Answer) -> float:
    """1 for an answer that ended by itself."""
    return float(answer.ended)


def brevity(answer: Answer) -> float:
    """Between 1 for no token and 0 for as many as the limit allows."""
    return 1 - answer.tokens / answer.limit


REWARDS: dict[str, Callable[[Answer], float]] = {
    "exactMatch": exact_match,
    "contains": contains,
    "numericMatch": numeric_match,
    "validJson": valid_json,
    "thinkFormat": think_format,
    "ended": ended,
    "brevity": brevity,
}
"""By the names of the API (`RewardFunction` in `finetune_api/stages.py`)."""
