"""DoRA divides by the length of each output's weights: of those that are there, and of none that is 0."""

from pathlib import Path

import pytest
import torch

from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.model import ModelSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods import apply_method
from finetune_trainer.methods.dora import measure_magnitudes
from finetune_trainer.model.models import load_base


def adapted(tiny_model: Path, *targets: str) -> torch.nn.Module:
    lora = LoraSpec(rank=4, dropout=0.0, target_modules=list(targets))
    model = load_base(ModelSpec(path=str(tiny_model)), str(tiny_model), torch.float32)
    return apply_method(model, MethodSpec(type="dora", lora=lora), seed=1)


def test_magnitudes_are_those_of_the_base_that_is_there(tiny_model: Path) -> None:
    model = adapted(tiny_model, "q_proj")
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    weight = layer.get_submodule("base_layer").weight
    weight.data *= 2
    measure_magnitudes(model)
    magnitudes = layer.get_submodule("lora_magnitude_vector.default").weight
    torch.testing.assert_close(magnitudes.data, weight.data.norm(dim=1))
    assert magnitudes.requires_grad


def test_an_output_without_weights_is_refused(tiny_model: Path) -> None:
    with pytest.raises(
        InvalidConfigError, match=r"lm_head has 1 outputs whose weights are all 0.*method.type lora"
    ):
        adapted(tiny_model, "lm_head")
