"""Sequences and batches: what is held out and padded."""

from pathlib import Path

import numpy as np
import pytest

from finetune_trainer.data import stored
from finetune_trainer.data.dataset import (
    DataFacts,
    Selection,
    TokenizedDataset,
    collate,
    held_out,
)
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import IGNORED, Tokens
from finetune_trainer.errors import DataError

FACTS = DataFacts(records=0, sequences=0, tokens=0, supervised_tokens=0)


def sequence(*ids: int, line: int = 1) -> Tokens:
    array = np.array(ids, dtype=np.int32)
    return Tokens(array, array.copy(), Origin("f", line))


def sequences(count: int) -> TokenizedDataset:
    return TokenizedDataset([sequence(*range(1, 3 + i), line=i) for i in range(count)], FACTS)


def test_held_out_sequences_are_not_trained_on_and_stay_the_same() -> None:
    train, kept_back = held_out(20, 0.25, seed=3)
    assert len(train) == 15
    assert sorted(train + kept_back) == list(range(20))
    assert held_out(20, 0.25, seed=3) == (train, kept_back)


def test_nothing_is_held_out_unless_asked_for() -> None:
    assert held_out(3, 0.0, seed=0) == ([0, 1, 2], [])


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(DataError, match="leaves none to train on"):
        held_out(1, 0.5, seed=0)


def test_a_part_counts_what_is_in_it_and_leaves_the_tokens_where_they_are(tmp_path: Path) -> None:
    whole = sequences(5)
    stored.write(tmp_path, whole.sequences)
    on_disk = TokenizedDataset(stored.read(tmp_path), FACTS)
    for part in (data.part([4, 1]).part([1, 0]) for data in (whole, on_disk)):
        assert isinstance(part.sequences, Selection)
        assert part.lengths() == [3, 6]
        assert part[1]["input_ids"].tolist() == [1, 2, 3, 4, 5, 6]
        assert [tokens.origin.line for tokens in part.sequences[:1]] == [1]
        assert (part.facts.sequences, part.facts.tokens, part.facts.supervised_tokens) == (2, 9, 7)


def test_a_batch_is_padded_on_the_right_and_padding_is_neither_seen_nor_learned() -> None:
    data = sequences(2)
    batch = collate([data[0], data[1]], pad_id=9)
    assert batch["input_ids"].tolist() == [[1, 2, 9], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[IGNORED, 2, IGNORED], [IGNORED, 2, 3]], "the first is not predicted"


def test_indices_behind_the_end_are_fillers_on_which_nothing_is_learned() -> None:
    data = sequences(2)
    assert (data[2]["labels"] == IGNORED).all()
    assert data.tokens_in([0, 1, 2, 3]) == 5
    assert [origin.line for origin in data.origins([1, 2])] == [1]
