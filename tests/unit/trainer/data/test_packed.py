"""Packed documents: the model computes for each what it computes for it alone."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.packed import PackedDataset, pack_dataset
from finetune_trainer.data.rendering import IGNORED, Tokens
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.training.isolation import IsolationTrial, check_isolation

SMALL = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.5,
}


def model(family: str, attention: str, **settings: Any) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(SMALL | settings))
    made: torch.nn.Module = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    return made


def records(*lengths: int) -> TokenizedDataset:
    random = np.random.default_rng(1)
    sequences = []
    for line, length in enumerate(lengths, start=1):
        ids = random.integers(1, 32, length).astype(np.int32)
        labels = ids.copy()
        labels[: length // 2] = IGNORED
        sequences.append(Tokens(ids, labels, Origin("f", line)))
    tokens, supervised = sum(lengths), sum(record.supervised for record in sequences)
    return TokenizedDataset(sequences, DataFacts(len(lengths), len(lengths), tokens, supervised))


def test_packs_hold_all_records_and_say_where_they_come_from() -> None:
    data = pack_dataset(records(5, 3, 7, 4), 10)
    assert len(data) == data.facts.sequences == 2
    assert data.lengths() == [9, 10]
    assert data.tokens_in([0, 1, 2]) == 19
    assert [[origin.line for origin in data.origins([pack])] for pack in (0, 1, 2)] == [[1, 4], [2, 3], []]
    assert data.facts.tokens == data.records.facts.tokens


def test_a_batch_restarts_positions_and_never_predicts_one_document_from_another() -> None:
    data = pack_dataset(records(2, 3, 3), 5)
    batch = data.collate([data[0], data[1]], pad_id=9)
    first, second = data[0], data[1]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2], [0, 1, 2, 0, 1]]
    assert batch["labels"][0, [0, 2]].tolist() == [IGNORED, IGNORED]
    assert batch["input_ids"].tolist() == [first["input_ids"].tolist(), [*second["input_ids"].tolist(), 9, 9]]
    assert batch["labels"][1, 3:].tolist() == [IGNORED, IGNORED]
    assert batch["use_cache"] is False


def test_packing_leaves_the_number_of_supervised_tokens_alone() -> None:
    data = pack_dataset(records(5, 3, 7, 4, 6), 16)
    batch = data.collate([data[index] for index in range(len(data))], pad_id=0)
    assert int((batch["labels"][:, 1:] != IGNORED).sum()) == data.facts.supervised_tokens


def test_a_filler_pack_teaches_nothing() -> None:
    data = pack_dataset(records(3), 8)
    assert (data.collate([data[1]], pad_id=0)["labels"] == IGNORED).all()


@pytest.mark.parametrize(
    ("family", "attention", "settings"),
    [
        ("llama", "eager", {}),
        ("llama", "sdpa", {}),
        ("mistral", "eager", {"sliding_window": 4}),
        ("mistral", "sdpa", {"sliding_window": 4}),
        ("qwen2", "eager", {}),
        ("qwen2", "sdpa", {}),
        ("qwen3", "eager", {}),
        ("qwen3", "sdpa", {}),
        # transformers has no sdpa for gemma2
        ("gemma2", "eager", {"sliding_window": 4}),
        ("phi3", "eager", {}),
        ("phi3", "sdpa", {}),
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_logits_of_packed_records_equal_those_of_each_alone(
    family: str, attention: str, settings: dict[str, Any], flat: bool
) -> None:
    assert_each_record_has_the_logits_it_has_alone(model(family, attention, **settings), flat=flat)


def assert_each_record_has_the_logits_it_has_alone(network: torch.nn.Module, *, flat: bool) -> None:
    packs = pack_dataset(records(7, 5, 6, 9, 3), 20)
    data = PackedDataset(packs.records, packs.packs, packs.facts, flat=flat)
    batch = data.collate([data[0], data[1]], pad_id=0)
    with torch.no_grad():
        together = network(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=batch["use_cache"]
        ).logits
        rows = together[0].split([*data.lengths()]) if flat else [*together]
        for row, members in zip(rows, data.packs, strict=False):
            start = 0
            for member in members:
                ids = torch.from_numpy(data.records[member]["input_ids"]).long()
                alone = network(input_ids=ids[None]).logits[0]
                torch.testing.assert_close(row[start : start + len(ids)], alone, rtol=1e-4, atol=1e-5)
                start += len(ids)
    check_isolation(network, data)


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """Flex attention compiles a kernel for every shape, which takes minutes on a CPU; uncompiled it computes
    the same, from the same masks."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.filterwarnings(
    "ignore:flex_attention called without torch.compile",
    # transformers passes it
    "ignore:_compile flag on create_block_mask:DeprecationWarning",
)
@pytest.mark.parametrize(
    ("family", "settings"), [("llama", {}), ("mistral", {"sliding_window": 4})], ids=["llama", "mistral"]
)
@pytest.mark.parametrize("flat", [False, True])
def test_flex_attention_keeps_packed_records_apart(family: str, settings: dict[str, Any], flat: bool) -> None:
    # PyTorch has no gradient of it on a CPU
    flex = model(family, "flex_attention", **settings).requires_grad_(False)
    assert_each_record_has_the_logits_it_has_alone(flex, flat=flat)


def test_a_model_that_lets_documents_see_one_another_is_refused() -> None:
    class Leaking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model("llama", "sdpa")

        def forward(self, input_ids: torch.Tensor, **_ignored: Any) -> Any:
            return self.inner(input_ids=input_ids)

    with pytest.raises(
        InvalidConfigError, match=r"dataset.packing: this model, with its attention, lets packed"
    ):
        check_isolation(Leaking(), pack_dataset(records(3), 8))
    # as under ZeRO-3, whose engine is there when training begins
    with pytest.raises(InvalidConfigError, match=r"dataset.packing: this model"):
        IsolationTrial(pack_dataset(records(3), 8)).on_train_begin(
            SimpleNamespace(device=torch.device("cpu")), None, None, model=Leaking()
        )
