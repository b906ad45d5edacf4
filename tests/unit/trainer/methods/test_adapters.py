"""The LoRA family: what PEFT is told, and which weights get gradients."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from finetune_api.method import LoraSpec, MethodSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods import apply_method
from finetune_trainer.methods.adapters import adapter_config, scaling
from finetune_trainer.model.models import trained_parameters
from small_models import trained_names


def test_full_fine_tuning_trains_every_weight(model: PreTrainedModel) -> None:
    found, total = trained_parameters(apply_method(model, MethodSpec(type="full"), seed=1))
    assert found == total


def test_lora_trains_the_adapters_alone(model: PreTrainedModel) -> None:
    found = trained_names(apply_method(model, MethodSpec(type="lora", lora=LoraSpec(rank=2)), seed=1))
    assert all(".lora_A." in name or ".lora_B." in name for name in found)
    # 2 layers of 7 linear maps, an A and a B for each
    assert len(found) == 2 * 7 * 2


@pytest.mark.parametrize(
    ("lora", "expected"),
    [
        ({"target_modules": ["q_proj"]}, {"layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj"}),
        (
            {"target_pattern": r".*\.1\..*\.(up|down)_proj"},
            {"layers.1.mlp.up_proj", "layers.1.mlp.down_proj"},
        ),
        ({"target_modules": ["q_proj"], "layers_to_transform": [1]}, {"layers.1.self_attn.q_proj"}),
        (
            {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "layers"},
            {"layers.0.self_attn.q_proj"},
        ),
    ],
)
def test_adapters_are_where_the_spec_wants_them(
    model: PreTrainedModel, lora: dict[str, Any], expected: set[str]
) -> None:
    found = trained_names(apply_method(model, MethodSpec(type="lora", lora=LoraSpec(**lora)), seed=1))
    adapted = {name.removeprefix("base_model.model.model.").partition(".lora_")[0] for name in found}
    assert adapted == expected


def test_modules_to_save_are_trained_in_full(model: PreTrainedModel) -> None:
    lora = LoraSpec(target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    found = trained_names(apply_method(model, MethodSpec(type="lora", lora=lora), seed=1))
    assert "base_model.model.model.embed_tokens.modules_to_save.default.weight" in found


def test_modules_that_the_model_does_not_have_are_refused(model: PreTrainedModel) -> None:
    method = MethodSpec(type="lora", lora=LoraSpec(target_modules=["no_such_proj"]))
    with pytest.raises(InvalidConfigError, match=r"method.lora: .*no_such_proj"):
        apply_method(model, method, seed=1)


def test_lora_settings_reach_peft() -> None:
    lora = LoraSpec(
        rank=4, alpha=8.0, dropout=0.1, target_modules=["q_proj"], bias="loraOnly", rank_stabilized=True
    )
    config = adapter_config(MethodSpec(type="lora", lora=lora))
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (4, 8.0, 0.1, "lora_only")
    assert config.target_modules == {"q_proj"}
    assert config.use_rslora is True
    assert adapter_config(MethodSpec()).target_modules == "all-linear"
    pattern = MethodSpec(lora=LoraSpec(target_pattern=".*q_proj"))
    assert adapter_config(pattern).target_modules == ".*q_proj"


@pytest.mark.parametrize(
    ("kind", "dora", "rslora", "scale"),
    [
        ("lora", False, False, 2.0),
        ("qlora", False, False, 2.0),
        ("dora", True, False, 2.0),
        ("rslora", False, True, 8.0),
    ],
)
def test_each_member_of_the_family_is_told_apart(kind: Any, dora: bool, rslora: bool, scale: float) -> None:
    method = MethodSpec(type=kind, lora=LoraSpec(rank=16, alpha=32.0))
    config = adapter_config(method)
    assert (config.use_dora, config.use_rslora, scaling(method)) == (dora, rslora, scale)


@pytest.mark.parametrize("start", ["gaussian", "orthogonal"])
def test_other_starts_leave_what_the_model_computes(model: PreTrainedModel, start: Any) -> None:
    ids = torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids).logits
    method = MethodSpec(type="lora", lora=LoraSpec(rank=4, dropout=0.0, initialization=start))
    after = apply_method(model, method, seed=1)(input_ids=ids).logits
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (
            {"target_modules": ["q_proj", "v_prj"]},
            r"targetModules: .* no module named v_prj. Use names such as .* q_proj,",
        ),
        ({"modules_to_save": ["lm_head", "typo"]}, r"modulesToSave: the model has no module named typo"),
        (
            {"target_modules": ["q_proj"], "layers_to_transform": [0, 99]},
            r"layersToTransform: .* no layers \[99\]. Use numbers from 0 to 1",
        ),
    ],
)
def test_a_name_that_peft_would_pass_over_is_refused(
    model: PreTrainedModel, lora: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        apply_method(model, MethodSpec(type="lora", lora=LoraSpec(**lora)), seed=1)
