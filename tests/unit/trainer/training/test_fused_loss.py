"""The fused loss is the model's own: the same value and gradients, whatever the batch."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from finetune_trainer.training.fused_loss import fuse_loss
from small_models import model

IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
LABELS = torch.tensor([[5, -100, -100, 8, 9, 10], [-100, -100, 13, 14, -100, -100]])


def batch(labels: torch.Tensor = LABELS) -> dict[str, Any]:
    return {"input_ids": IDS, "attention_mask": MASK, "labels": labels}


def assert_same(fused: torch.nn.Module, plain: torch.nn.Module, inputs: dict[str, Any]) -> None:
    one, other = fused(**inputs).loss, plain(**inputs).loss
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    one.backward()
    other.backward()
    for weight, twin in zip(fused.parameters(), plain.parameters(), strict=True):
        if twin.requires_grad:
            torch.testing.assert_close(weight.grad, twin.grad, rtol=1e-4, atol=1e-6)


def adapted(network: PreTrainedModel, **settings: Any) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **settings)
    made: torch.nn.Module = get_peft_model(network, config)
    return made


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("items", [{}, {"num_items_in_batch": torch.tensor(17)}])
def test_value_and_gradients_are_the_models_own(tied: bool, items: dict[str, Any]) -> None:
    fused, plain = model(tie_word_embeddings=tied), model(tie_word_embeddings=tied)
    assert fuse_loss(fused)
    assert_same(fused, plain, batch() | items)


def test_a_frozen_head_below_adapters_is_fused_too() -> None:
    fused, plain = adapted(model()), adapted(model())
    assert fuse_loss(fused)
    assert_same(fused, plain, batch())


def test_a_micro_batch_that_teaches_nothing_counts_nothing() -> None:
    network = model()
    fuse_loss(network)
    loss = network(**batch(torch.full_like(LABELS, -100)), num_items_in_batch=torch.tensor(5)).loss
    loss.backward()
    assert loss == 0
    assert all(not weight.grad.any() for weight in network.parameters() if weight.grad is not None)


def test_without_labels_there_are_logits() -> None:
    fused, plain = model(), model()
    fuse_loss(fused)
    assert torch.equal(fused(input_ids=IDS).logits, plain(input_ids=IDS).logits)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gemma2", {"final_logit_softcapping": 30.0}),
        ("gemma2", {"final_logit_softcapping": 1000.0}),
        ("granite", {"logits_scaling": 1.01}),
        ("cohere", {"logit_scale": 0.0625}),
    ],
)
def test_a_model_that_caps_or_scales_its_logits_keeps_its_own_loss(
    family: str, settings: dict[str, float]
) -> None:
    """A new model's logits are so small that its first losses would hardly tell."""
    network = model(family, "eager", **(settings | {"initializer_range": 0.02}))
    assert not fuse_loss(network)
    assert "forward" not in vars(network)


def test_a_model_of_such_a_family_without_a_cap_is_fused() -> None:
    fused, plain = (model("gemma2", "eager", final_logit_softcapping=None) for _ in range(2))
    assert fuse_loss(fused)
    assert_same(fused, plain, batch())


def test_a_head_with_an_adapter_keeps_its_own_loss() -> None:
    from peft import LoraConfig, get_peft_model

    assert not fuse_loss(get_peft_model(model(), LoraConfig(r=2, target_modules=["lm_head"])))


def test_somebody_elses_forward_pass_is_left_alone() -> None:
    network = model()
    theirs = network.forward
    network.forward = theirs
    assert not fuse_loss(network)
    assert network.forward is theirs
