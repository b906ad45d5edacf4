"""Answers judged by themselves, and answers put behind prompts that they do not belong to."""

import numpy as np
import pytest

from finetune_trainer.data.dataset import DataFacts, Sample, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.judged import DESIRED, UNDESIRED, JudgedDataset, join
from finetune_trainer.data.rendering import IGNORED, Tokens


def tokens(prompt: list[int], answer: list[int], note: str = DESIRED) -> Tokens:
    ids = np.array([*prompt, *answer], dtype=np.int32)
    labels = np.array([*[IGNORED] * len(prompt), *answer], dtype=np.int32)
    return Tokens(ids, labels, Origin("f", 1), note=note)


@pytest.fixture
def data() -> JudgedDataset:
    sequences = [tokens([1, 2], [10]), tokens([3], [20, 21], UNDESIRED), tokens([4, 5, 6], [30])]
    return JudgedDataset(TokenizedDataset(sequences, DataFacts(3, 3, 9, 4)), 6)


def test_each_prompt_gets_the_answer_of_the_row_before(data: JudgedDataset) -> None:
    batch = data.collate([data[0], data[3], data[1], data[2]], pad_id=0)
    assert batch["desired"].tolist() == [True, False, False, True]
    assert batch["other_input_ids"].tolist() == [
        [1, 2, 30, 0, 0],
        [0, 0, 0, 0, 0],
        [3, 10, 0, 0, 0],
        [4, 5, 6, 20, 21],
    ]
    learned = (batch["other_labels"] != IGNORED).sum(dim=1)
    assert learned.tolist() == [1, 0, 1, 2]


def test_an_answer_alone_has_no_other(data: JudgedDataset) -> None:
    batch = data.collate([data[0], data[3]], pad_id=0)
    assert (batch["other_labels"] == IGNORED).all()


def test_joined_sequences_keep_the_limit() -> None:
    one, two = (
        Sample(input_ids=item.ids, labels=item.labels)
        for item in (tokens([1, 2, 3], [4]), tokens([5], [6, 7]))
    )
    assert join(one, two, 4)["input_ids"].tolist() == [1, 2, 3, 6]


def test_a_part_keeps_what_was_said_of_each_answer(data: JudgedDataset) -> None:
    part = data.part([1, 2])
    assert [part[index]["desired"] for index in range(3)] == [False, True, False]
    assert part.facts.sequences == 2
