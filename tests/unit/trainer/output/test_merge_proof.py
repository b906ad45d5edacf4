"""A wrong merge is told from rounding, however strong the adapter is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear
from transformers import AutoModelForCausalLM

from finetune_trainer.errors import OutputInvalidError
from finetune_trainer.output.merge import merged_model
from finetune_trainer.output.merge_proof import (
    TOLERANCE,
    allowed_difference,
    check_weights,
    merged_weights,
    probe_ids,
)

BF16 = torch.bfloat16


@pytest.fixture
def adapted(tiny_model: Path, tmp_path: Path) -> Callable[..., Any]:
    """A model with an adapter on it that was trained and loaded again."""

    def make(strength: float = 0.1, **settings: Any) -> Any:
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=BF16)
        usual = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
        torch.manual_seed(1)
        tuned = get_peft_model(model, LoraConfig(**(usual | settings)))
        with torch.no_grad():
            for parameter in tuned.parameters():
                if parameter.requires_grad:
                    parameter.add_(strength * torch.randn_like(parameter))
        tuned.save_pretrained(tmp_path)
        base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=BF16)
        return PeftModel.from_pretrained(base, tmp_path).eval()

    return make


def expected_of(model: Any) -> dict[str, str]:
    return merged_weights(model, probe_ids(model.config.vocab_size), BF16)


@pytest.mark.parametrize(
    "settings", [{}, {"use_dora": True}, {"use_rslora": True}], ids=["lora", "dora", "rslora"]
)
@pytest.mark.parametrize("strength", [0.01, 0.1, 3.0])
def test_a_right_merge_passes_whatever_rounding_does_to_its_logits(
    adapted: Callable[..., Any], settings: dict[str, Any], strength: float
) -> None:
    model = adapted(strength, **settings)
    expected = expected_of(model)
    check_weights(merged_model(model, BF16), expected, BF16)


def test_the_model_is_left_as_it_was(adapted: Callable[..., Any]) -> None:
    model = adapted()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    expected_of(model)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_a_layer_that_was_not_merged_is_named(adapted: Callable[..., Any]) -> None:
    model = adapted()
    expected = expected_of(model)
    with pytest.raises(
        OutputInvalidError, match=r"4 of its weights .* model\.layers\.0\.mlp\.down_proj\.weight"
    ):
        check_weights(model.unload(), expected, BF16)


def test_one_altered_weight_is_found(adapted: Callable[..., Any]) -> None:
    model = adapted()
    expected = expected_of(model)
    merged = merged_model(model, BF16)
    with torch.no_grad():
        merged.model.norm.weight[0] += 0.01
    with pytest.raises(OutputInvalidError, match=r"1 of its weights .* model\.norm\.weight first"):
        check_weights(merged, expected, BF16)


@pytest.mark.parametrize("strength", [0.001, 3.0])
def test_a_merge_with_the_wrong_scale_is_refused(
    adapted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, strength: float
) -> None:
    model = adapted(strength)
    right = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, adapter: 0.5 * right(self, adapter))
    with pytest.raises(
        OutputInvalidError, match=r"model\.layers\.0\.self_attn\.q_proj computes something else"
    ):
        expected_of(model)


def test_whole_modules_that_were_trained_are_taken_as_they_are(adapted: Callable[..., Any]) -> None:
    model = adapted(modules_to_save=["norm"])
    trained = model.base_model.model.model.norm.modules_to_save["default"].weight
    expected = expected_of(model)
    merged = merged_model(model, BF16)
    assert torch.equal(merged.model.norm.weight, trained.to(BF16))
    check_weights(merged, expected, BF16)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`:UserWarning")
@pytest.mark.filterwarnings("ignore:Model (with|has) `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize(
    ("targets", "together"),
    [(["embed_tokens", "lm_head"], True), (["embed_tokens"], False), (["lm_head"], False)],
)
def test_embeddings_that_are_tied_get_each_what_is_theirs(
    adapted: Callable[..., Any], targets: list[str], together: bool
) -> None:
    model = adapted(target_modules=targets, ensure_weight_tying=together)
    expected = expected_of(model)
    merged = merged_model(model, BF16)
    check_weights(merged, expected, BF16)
    same = torch.equal(merged.get_input_embeddings().weight, merged.get_output_embeddings().weight)
    assert merged.config.tie_word_embeddings == same


def test_less_is_allowed_where_the_adapter_changes_little() -> None:
    assert allowed_difference(effect=1.0) == TOLERANCE
    assert allowed_difference(effect=2.0) == TOLERANCE
    assert allowed_difference(effect=1.5 * TOLERANCE) < TOLERANCE
    assert allowed_difference(effect=0.0) == TOLERANCE / 2
