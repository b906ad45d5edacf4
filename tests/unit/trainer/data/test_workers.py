"""Tokenising in processes: the same tokens in the same order, and failures that are told."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
from transformers import AutoTokenizer

from finetune_api.dataset import PreprocessingSpec
from finetune_trainer.data import workers
from finetune_trainer.data.examples import Conversation, Document, Example, Message, Origin
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.data.workers import render_each, render_noted, worker_count
from finetune_trainer.errors import DataError, OutOfMemoryError
from finetune_trainer.model.tokenizers import CHATML


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> Renderer:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = CHATML
    return Renderer(tokenizer, PreprocessingSpec(overlong="fail"), 200, "answers")


def conversation(number: int, answer: str = "yes") -> Conversation:
    turns = (Message("user", f"is it {number}?"), Message("assistant", answer))
    return Conversation(Origin("train.jsonl", number), turns)


def plain(tokens: Tokens) -> tuple[list[int], list[int], Origin]:
    return tokens.ids.tolist(), tokens.labels.tolist(), tokens.origin


def test_processes_make_the_same_tokens_in_the_same_order(renderer: Renderer) -> None:
    examples: list[Example] = [conversation(number) for number in range(1, 4 * workers.CHUNK)]
    one, several = (list(map(plain, render_each(examples, renderer, count))) for count in (1, 3))
    assert one == several


def test_each_sequence_keeps_the_note_that_came_with_its_example(renderer: Renderer) -> None:
    noted = [(conversation(number), f"of {number}") for number in range(1, 3 * workers.CHUNK)]
    for tokens in render_noted(noted, renderer, 2):
        assert tokens.note == f"of {tokens.origin.line}"


def test_a_record_that_cannot_be_used_is_named_as_ever(renderer: Renderer) -> None:
    examples = [conversation(number, "long " * (200 if number == 700 else 1)) for number in range(1, 1000)]
    with pytest.raises(DataError, match=r"train\.jsonl, line 700: "):
        list(render_each(examples, renderer, 2))


@dataclass(frozen=True)
class Doomed:
    """Stands in for a renderer whose process is killed."""

    def all(self, examples: list[Example]) -> list[Tokens]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(examples)


def test_a_process_that_is_killed_ends_the_run_instead_of_letting_it_wait() -> None:
    with pytest.raises(
        OutOfMemoryError, match=r"^dataset\.preprocessing\.workers: one of 2 processes was killed"
    ):
        list(render_each([conversation(1)] * 600, cast(Renderer, Doomed()), 2))


def test_examples_are_taken_as_they_are_needed(renderer: Renderer) -> None:
    taken = 0

    def endless() -> Iterator[Example]:
        nonlocal taken
        while True:
            taken += 1
            yield Document(Origin("a.txt", 0), "some text")

    stream = render_each(endless(), renderer, 2)
    for _ in range(10):
        next(stream)
    stream.close()
    assert taken <= 10 * workers.CHUNK


def test_long_documents_are_taken_a_few_at_a_time(renderer: Renderer) -> None:
    taken = 0

    def long() -> Iterator[Example]:
        nonlocal taken
        for taken in range(1, 10):  # noqa: B007
            yield Document(Origin("a.txt", 0), "a" * (workers.CHUNK_CHARACTERS // 2))

    stream = render_each(long(), replace(renderer, preprocessing=PreprocessingSpec()), 1)
    next(stream)
    assert taken == 2


@pytest.mark.parametrize(
    ("asked", "records", "count"),
    [(None, 10, 1), (None, 1999, 1), (None, 10**6, 8), (3, 10, 3), (1, 10**6, 1)],
)
def test_processes_are_as_many_as_asked_for_or_as_there_are_cores_for(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, records: int, count: int
) -> None:
    monkeypatch.setattr(workers, "usable_cpus", lambda: 8)
    assert worker_count(asked, records) == count
