"""Attention document by document: the same logits and gradients as for each document alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_trainer.data.dataset import Sample
from finetune_trainer.data.flat import flat
from finetune_trainer.data.packed import join
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.training.by_document import NAME, attend_by_document
from small_models import model

LENGTHS = (7, 1, 5, 9)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads round the products of a mixture's experts by how many tokens each expert gets, and so
    by what the other document is; then the trial has to say no."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def documents() -> list[Sample]:
    random = np.random.default_rng(1)
    drawn = [random.integers(1, 32, length).astype(np.int32) for length in LENGTHS]
    return [Sample(input_ids=ids, labels=ids) for ids in drawn]


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("llama", {"num_key_value_heads": 4}),
        ("mistral", {"sliding_window": 16}),
        ("qwen2", {}),
        ("qwen3", {}),
        ("phi3", {}),
        ("mixtral", {"num_local_experts": 4}),
        ("gemma", {}),
        ("gemma3_text", {"sliding_window": 16}),
    ],
)
def test_each_document_has_the_logits_and_gradients_that_it_has_alone(
    family: str, settings: dict[str, Any]
) -> None:
    plain, network = model(family, **settings), model(family, **settings)
    assert attend_by_document(network, longest=16)
    together = network(**flat(documents())).loss
    targets = sum(length - 1 for length in LENGTHS)
    alone = sum(
        plain(input_ids=ids, labels=ids, num_items_in_batch=targets).loss
        for ids in (torch.from_numpy(document["input_ids"]).long()[None] for document in documents())
        if ids.shape[1] > 1
    )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    together.backward()
    alone.backward()
    for weight, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_packed_documents_have_the_logits_that_each_has_alone() -> None:
    plain, network = model(), model()
    assert attend_by_document(network, longest=16)
    first, second, third, fourth = documents()
    batch = flat([join([first, second]), join([third, fourth])])
    labels = batch.pop("labels")
    with torch.no_grad():
        together = network(**batch).logits[0].split(LENGTHS)
        for document, logits in zip(documents(), together, strict=True):
            alone = plain(input_ids=torch.from_numpy(document["input_ids"]).long()[None]).logits[0]
            torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-6)
    assert int((labels == IGNORED).sum()) == len(LENGTHS), "the first token of each is predicted from nothing"


def test_a_padded_batch_still_works() -> None:
    plain, network = model(), model()
    attend_by_document(network, longest=16)
    batch = {
        "input_ids": torch.tensor([[0, 0, 5, 6], [1, 2, 3, 4]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
    }
    assert torch.equal(network(**batch).logits[1], plain(**batch).logits[1])
    assert torch.equal(network(**batch).logits[0, 2:], plain(**batch).logits[0, 2:])


@pytest.mark.parametrize(
    ("family", "attention", "settings"),
    [("llama", "eager", {}), ("mistral", "sdpa", {"sliding_window": 4}), ("gemma2", "eager", {})],
)
def test_another_attention_stays_as_it_is(family: str, attention: str, settings: dict[str, Any]) -> None:
    network = model(family, attention, **settings)
    assert not attend_by_document(network, longest=16)
    assert network.config._attn_implementation == attention


def test_a_model_that_lets_documents_see_one_another_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    network = model()
    forward = network.model.forward

    def forgetful(*args: Any, cu_seq_lens_q: Any = None, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    monkeypatch.setattr(network.model, "forward", forgetful)
    assert not attend_by_document(network, longest=16)
    assert network.config._attn_implementation == "sdpa"


def test_what_is_saved_does_not_name_it(tmp_path: Path) -> None:
    network = model()
    attend_by_document(network, longest=16)
    network.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text(encoding="utf-8")
