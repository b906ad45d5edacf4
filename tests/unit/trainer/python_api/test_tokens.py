"""Any torch Dataset of token ids, as the engine's data."""

from typing import Any

import numpy as np
import pytest
import torch

from finetune_trainer.errors import DataError
from finetune_trainer.python_api import tokens
from finetune_trainer.python_api.tokens import TokenDataset


def data(*items: Any) -> TokenDataset:
    return TokenDataset(list(items), vocab_size=10, max_length=4, name="train_dataset")


@pytest.mark.parametrize("item", [torch.tensor([1, 2, 3]), np.array([1, 2, 3]), [1, 2, 3]])
def test_every_token_is_learned(item: Any) -> None:
    sample = data(item)[0]
    assert sample["input_ids"].tolist() == sample["labels"].tolist() == [1, 2, 3]


def test_behind_the_end_there_are_fillers_on_which_nothing_is_learned() -> None:
    assert set(data([1, 2])[1]["labels"].tolist()) == {-100}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ([[1, 2]], r"shape \(1, 2\)"),
        ([0.5, 1.0], "no sequence of token ids"),
        ([1], "1 tokens; a sequence has 2 to 4"),
        ([1, 2, 3, 4, 5], "5 tokens"),
        ([1, 10], "token 10 is none of the 10"),
        ([1, -1], "token -1"),
    ],
)
def test_what_is_no_sequence_of_the_models_tokens_is_refused_by_its_place(item: Any, words: str) -> None:
    with pytest.raises(DataError, match=rf"train_dataset\[1\]: .*{words}"):
        _ = data([1, 2], item)[1]


def test_tokens_are_counted_without_fillers() -> None:
    tokens = data([1, 2], [1, 2, 3])
    assert tokens.tokens_in([0, 1, 2]) == 5
    assert tokens.lengths() == [2, 3]
    assert [str(origin) for origin in tokens.origins([1, 2])] == ["train_dataset[1]"]


def test_nothing_is_read_twice_to_count_it() -> None:
    class Once(list[Any]):
        reads = 0

        def __getitem__(self, index: Any) -> Any:
            self.reads += 1
            return super().__getitem__(index)

    source = Once([[1, 2], [1, 2, 3]])
    tokens = TokenDataset(source, vocab_size=10, max_length=4, name="train_dataset")
    _ = tokens[0], tokens[1]
    assert tokens.tokens_in([0, 1]) == 5
    assert source.reads == 2


def test_a_fingerprint_tells_of_any_other_sequence_order_or_number() -> None:
    known = data([1, 2], [3, 4, 5]).fingerprint()
    assert known == data(torch.tensor([1, 2]), np.array([3, 4, 5])).fingerprint()
    others = [data([1, 2, 3], [4, 5]), data([3, 4, 5], [1, 2]), data([1, 2], [3, 4, 6]), data([1, 2])]
    assert known not in [other.fingerprint() for other in others]


def test_of_large_data_only_so_many_sequences_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SAMPLED", 3)
    read: list[int] = []

    class Counting(list[list[int]]):
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return super().__getitem__(index)

    many = TokenDataset(Counting([[1, 2]] * 101), vocab_size=10, max_length=4, name="train_dataset")
    assert many.fingerprint().items == 101
    assert read == [0, 50, 100]
