"""EVA: adapters that change nothing yet, and start as directions of the run's own data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.packed import pack_dataset
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.eva import token_batches, write_eva_adapter
from finetune_trainer.model.models import load_base

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def dataset(lengths: list[int]) -> TokenizedDataset:
    draw = np.random.default_rng(0)
    sequences = []
    for length in lengths:
        ids = draw.integers(0, 250, length, dtype=np.int32)
        sequences.append(Tokens(ids, ids, Origin("made", 1)))
    return TokenizedDataset(sequences, DataFacts(len(lengths), len(lengths), sum(lengths), sum(lengths)))


def method(rank: int = 4, **lora: Any) -> MethodSpec:
    return MethodSpec(type="lora", lora=LoraSpec(rank=rank, dropout=0.0, initialization="eva", **lora))


@pytest.fixture
def write(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes an adapter for some data; returns its directory."""

    def make(name: str, what: MethodSpec, lengths: list[int]) -> Path:
        model = load_base(ModelSpec(path="/m"), str(tiny_model), torch.float32)
        write_eva_adapter(model, what, 1, dataset(lengths), 0, tmp_path / name)
        return tmp_path / name

    return make


def weights(directory: Path, kind: str) -> dict[str, torch.Tensor]:
    found = load_file(directory / "adapter_model.safetensors")
    return {name: weight for name, weight in found.items() if kind in name}


def test_the_adapter_changes_nothing_and_is_the_same_each_time(
    write: Callable[..., Path], tiny_model: Path
) -> None:
    first, second = write("one", method(), [20] * 30), write("two", method(), [20] * 30)
    base = load_base(ModelSpec(path="/m"), str(tiny_model), torch.float32)
    expected = base(input_ids=IDS).logits
    assert torch.equal(PeftModel.from_pretrained(base, first)(input_ids=IDS).logits, expected)
    one, two = weights(first, "lora_"), weights(second, "lora_")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_rows_of_a_are_directions_and_ranks_follow_the_data(write: Callable[..., Path]) -> None:
    matrices = weights(write("one", method(), [20] * 30), "lora_A")
    for name, matrix in matrices.items():
        identity = torch.eye(len(matrix))
        assert torch.allclose(matrix @ matrix.T, identity, atol=1e-3), name
    ranks = [len(matrix) for matrix in matrices.values()]
    # 14 layers of rank 4, shared out anew; none has more than twice as much
    assert sum(ranks) == 14 * 4
    assert len(set(ranks)) > 1
    assert max(ranks) <= 8


@pytest.mark.parametrize(
    ("rank", "lengths", "wrong"),
    [
        (16, [20] * 30, r"method.lora.rank: 16 is too much .* has 32 inputs. Use at most 8"),
        (8, [3] * 5, r"eva looks at 32 directions, and the training data have 15 tokens"),
    ],
)
def test_what_is_too_small_is_refused(
    write: Callable[..., Path], rank: int, lengths: list[int], wrong: str
) -> None:
    with pytest.raises(InvalidConfigError, match=wrong):
        write("one", method(rank), lengths)


def test_batches_tell_tokens_from_padding() -> None:
    [batch] = token_batches(dataset([3, 5, 4]), pad_id=0, seed=1, least=8)
    assert batch["input_ids"].shape == (3, 5)
    assert sorted(batch["real"].sum(dim=1).tolist()) == [3, 4, 5]
    assert torch.equal(batch["real"], batch["attention_mask"].bool())


def test_packs_are_read_whole() -> None:
    packs = pack_dataset(dataset([3, 5, 4, 8]), capacity=10)
    [batch] = token_batches(packs, pad_id=0, seed=1, least=8)
    assert int(batch["real"].sum()) == 20
    assert "position_ids" in batch


def test_large_data_are_read_in_parts() -> None:
    batches = token_batches(dataset([1000] * 9), pad_id=0, seed=1, least=8)
    assert [int(batch["real"].sum()) for batch in batches] == [3000, 3000, 3000]
