"""Equal data has an equal fingerprint wherever it lies, and any change that training would see changes it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_trainer.data import stored
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Json, Message, Origin
from finetune_trainer.data.fingerprint import fingerprint
from finetune_trainer.data.judged import DESIRED, UNDESIRED, JudgedDataset
from finetune_trainer.data.packed import pack_dataset
from finetune_trainer.data.preferences import PairedDataset
from finetune_trainer.data.prompts import PromptDataset
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.data.training_data import TrainingData

FACTS = DataFacts(records=4, sequences=4, tokens=14, supervised_tokens=14)


def sequence(*ids: int, file: str = "a.jsonl") -> Tokens:
    numbers = np.array(ids, dtype=np.int32)
    return Tokens(numbers, numbers.copy(), Origin(file, 1))


SEQUENCES = [sequence(1, 2, 3, 4), sequence(5, 6), sequence(7, 8, 9), sequence(1, 2, 3, 4, 5)]


def data(sequences: list[Tokens] = SEQUENCES) -> TokenizedDataset:
    return TokenizedDataset(sequences, FACTS)


def with_other_label() -> list[Tokens]:
    labels = SEQUENCES[1].labels.copy()
    labels[0] = -100
    return [SEQUENCES[0], replace(SEQUENCES[1], labels=labels), *SEQUENCES[2:]]


def judged(sequences: list[Tokens], last: str = DESIRED) -> JudgedDataset:
    noted = [replace(each, note=DESIRED) for each in sequences]
    return JudgedDataset(data([*noted[:-1], replace(noted[-1], note=last)]), 8)


def prompts(expected: str = "4", said: str = "2 + 2?", *tools: Json) -> PromptDataset:
    note = json.dumps({"messages": [asdict(Message("user", said))], "tools": tools, "expected": expected})
    return PromptDataset(data([replace(sequence(0, 1, 2), note=note)]))


def test_it_is_the_same_in_memory_and_on_disk_and_wherever_records_come_from(tmp_path: Path) -> None:
    stored.write(tmp_path, SEQUENCES)
    on_disk = TokenizedDataset(stored.read(tmp_path), FACTS)
    moved = data([replace(each, origin=Origin("b.jsonl", 9)) for each in SEQUENCES])
    assert fingerprint(on_disk) == fingerprint(data()) == fingerprint(moved)
    assert fingerprint(data()).items == 4


@pytest.mark.parametrize(
    "changed",
    [
        [*SEQUENCES, sequence(1)],
        SEQUENCES[:-1],
        SEQUENCES[::-1],
        [sequence(1, 2, 3), sequence(4, 5, 6), *SEQUENCES[2:]],
        [sequence(1, 2, 3, 5), *SEQUENCES[1:]],
        with_other_label(),
    ],
    ids=["one more", "one less", "another order", "cut elsewhere", "another token", "another label"],
)
def test_any_change_of_what_is_learned_changes_it(changed: list[Tokens]) -> None:
    assert fingerprint(data(changed)).sha256 != fingerprint(data()).sha256


KINDS: dict[str, Callable[[list[Tokens]], TrainingData]] = {
    "packs": lambda sequences: pack_dataset(data(sequences), 8),
    "pairs": lambda sequences: PairedDataset(data(sequences)),
    "judged": lambda sequences: judged(sequences),
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_each_kind_has_one(kind: str) -> None:
    make = KINDS[kind]
    assert fingerprint(make(SEQUENCES)) == fingerprint(make(SEQUENCES))
    assert fingerprint(make(SEQUENCES)) != fingerprint(make(with_other_label()))


def test_an_answer_that_is_judged_otherwise_changes_it() -> None:
    assert fingerprint(judged(SEQUENCES)) != fingerprint(judged(SEQUENCES, last=UNDESIRED))


def test_prompts_count_with_all_that_a_reward_sees() -> None:
    assert fingerprint(prompts()) == fingerprint(prompts())
    assert fingerprint(prompts()) != fingerprint(prompts(expected="5"))
    assert fingerprint(prompts()) != fingerprint(prompts(said="2 plus 2?"))
    assert fingerprint(prompts()) != fingerprint(prompts("4", "2 + 2?", {"type": "function"}))


def test_lengths_that_records_say_themselves_count_too() -> None:
    """Steps are made by them: the same tokens in another order would be resumed as if nothing had changed."""
    assert fingerprint(data(), [1, 2, 3, 4]) == fingerprint(data(), [1, 2, 3, 4])
    assert len({fingerprint(data(), said).sha256 for said in (None, [1, 2, 3, 4], [4, 3, 2, 1])}) == 3


def test_data_of_a_kind_that_nobody_knows_is_an_error() -> None:
    unknown: Any = SEQUENCES
    with pytest.raises(TypeError, match="list has no fingerprint"):
        fingerprint(unknown)
