"""Freeze: the layers and modules that are named are trained in full, and nothing else."""

from typing import Any

import pytest
from transformers import PreTrainedModel

from finetune_api.method import FreezeSpec, MethodSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods import apply_method
from finetune_trainer.methods.freeze import trained_layers
from small_models import trained_names


def frozen(model: PreTrainedModel, **settings: Any) -> set[str]:
    return trained_names(
        apply_method(model, MethodSpec(type="freeze", freeze=FreezeSpec(**settings)), seed=1)
    )


def test_all_weights_of_the_last_layer_are_trained(model: PreTrainedModel) -> None:
    found = frozen(model, trainable_layers=1)
    assert found == {name for name, _ in model.named_parameters() if name.startswith("model.layers.1.")}


@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        ({"trainable_layers": 2}, {4, 5}),
        ({"trainable_layers": 2, "from_layer": "first"}, {0, 1}),
        ({"trainable_layers": 2, "layers": [1, 3]}, {1, 3}),
    ],
)
def test_layers_are_counted_from_an_end_or_named(settings: dict[str, Any], layers: set[int]) -> None:
    assert trained_layers(FreezeSpec(**settings), 6) == layers


def test_patterns_choose_within_the_layers(model: PreTrainedModel) -> None:
    found = frozen(model, layers=[0], module_patterns=[r"self_attn\.(q|v)_proj", "norm"])
    assert found == {
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.post_attention_layernorm.weight",
    }


def test_extra_modules_are_outside_of_the_layers(model: PreTrainedModel) -> None:
    found = frozen(
        model, trainable_layers=1, module_patterns=["q_proj"], extra_modules=["embed_tokens", "norm"]
    )
    assert found == {
        "model.layers.1.self_attn.q_proj.weight",
        "model.embed_tokens.weight",
        "model.norm.weight",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainable_layers": 3}, r"method.freeze.trainableLayers: 3 is more than the model's 2 layers"),
        ({"layers": [1, 7]}, r"method.freeze.layers: \[7\] are beyond the model's 2 layers"),
        ({"module_patterns": ["no_such"]}, r"method.freeze.modulePatterns: 'no_such' matches no parameter"),
        (
            {"extra_modules": ["no_such"]},
            r"method.freeze.extraModules: the model has no module named no_such",
        ),
    ],
)
def test_what_the_model_does_not_have_is_refused(
    model: PreTrainedModel, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        frozen(model, **settings)
