"""Spectrum: signal is told from noise, and per type of module the layers with the most of it are trained."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from finetune_api.method import MethodSpec, SpectrumSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods import Start, apply_method
from finetune_trainer.methods.spectrum import best, scan, signal_to_noise
from small_models import trained_names


def chosen(model: PreTrainedModel, measured: Path, **settings: Any) -> set[str]:
    method = MethodSpec(type="spectrum", spectrum=SpectrumSpec(**settings))
    start = Start(base="", original="", layers=measured)
    return trained_names(apply_method(model, method, seed=1, start=start))


@pytest.fixture
def measured(model: PreTrainedModel, tmp_path: Path) -> Path:
    """A scan in which the second layer's attention and the first layer's feed-forward have more signal."""
    ratios = {name: float(("self_attn" in name) == ("layers.1." in name)) for name in scan(model)}
    file = tmp_path / "ratios.json"
    file.write_text(json.dumps(ratios))
    return file


def test_the_ratio_is_that_of_the_definition() -> None:
    # singular values 10, 3, 2, 1: quartiles 1.75 and 4.75, σ = 3 / 1.349, edge = σ (1 + √(4/16)) = 3.336
    weight = torch.zeros(4, 16)
    weight[range(4), range(4)] = torch.tensor([10.0, 3.0, 2.0, 1.0])
    assert signal_to_noise(weight) == pytest.approx(10 / (3 + 2 + 1) / 10)


@pytest.mark.parametrize(
    ("weight", "ratio"), [(torch.zeros(4, 4), 0.0), (torch.eye(4), math.nextafter(math.inf, 0))]
)
def test_no_weights_are_no_signal_and_no_noise_is_all_signal(weight: torch.Tensor, ratio: float) -> None:
    assert signal_to_noise(weight) == ratio


def test_the_top_share_is_taken_per_type_and_never_nothing() -> None:
    types = {"a": ["a0", "a1", "a2", "a3"], "b": ["b0", "b1"]}
    ratios = {"a0": 0.1, "a1": 0.9, "a2": 0.2, "a3": 0.5, "b0": 0.01, "b1": 0.02}
    assert best(types, ratios, 0.5) == {"a1", "a3", "b1"}
    assert best(types, ratios, 0.01) == {"a1", "b1"}
    assert best(types, ratios, 1.0) == ratios.keys()


def test_every_matrix_of_the_layers_is_measured(model: PreTrainedModel) -> None:
    found = scan(model)
    assert len(found) == 2 * 7
    assert all(name.startswith("model.layers.") and name.endswith("_proj.weight") for name in found)


def test_the_better_half_is_trained(model: PreTrainedModel, measured: Path) -> None:
    found = chosen(model, measured, top_fraction=0.5)
    attention = {f"model.layers.1.self_attn.{name}_proj.weight" for name in "qkvo"}
    assert found == attention | {f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}


def test_patterns_choose_types_and_layers_replace_the_measure(model: PreTrainedModel, measured: Path) -> None:
    assert chosen(model, measured, module_patterns=[r"mlp\.up"]) == {"model.layers.0.mlp.up_proj.weight"}
    found = chosen(model, measured, module_patterns=["q_proj"], layers=[0, 1])
    assert found == {f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module_patterns": ["no_such"]}, "match none of this model's types"),
        (
            {"module_patterns": ["q_proj", "no_such"]},
            r"\['no_such'\] match none .* Use patterns for mlp.down_proj",
        ),
        ({"layers": [2]}, r"method.spectrum.layers: \[2\] are beyond the model's 2 layers"),
    ],
)
def test_what_the_model_does_not_have_is_refused(
    model: PreTrainedModel, measured: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        chosen(model, measured, **settings)
