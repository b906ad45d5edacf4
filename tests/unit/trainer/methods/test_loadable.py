"""A checkpoint's adapter, as one that loads on the job's own base."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from finetune_trainer.methods.loadable import is_loadable, make_loadable
from finetune_trainer.methods.start import Start
from finetune_trainer.model.heads import LANGUAGE, VALUED, Head


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """One that was saved in the middle of ppo."""
    weights = ["layer.lora_A.weight", "value_head.weight", "lm_head.weight"]
    save_file(
        {f"base_model.model.{name}": torch.ones(2) for name in weights},
        tmp_path / "adapter_model.safetensors",
    )
    config = {"r": 2, "modules_to_save": ["lm_head", "value_head"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    return tmp_path


def start(head: Head = LANGUAGE, adapter: Path | None = None) -> Start:
    return Start(base="b", original="o", adapter=adapter, head=head)


def test_what_stands_on_the_model_in_training_alone_is_taken_off(adapter: Path) -> None:
    make_loadable(adapter, start(VALUED))
    assert sorted(load_file(adapter / "adapter_model.safetensors")) == [
        "base_model.model.layer.lora_A.weight",
        "base_model.model.lm_head.weight",
    ]
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config == {"r": 2, "modules_to_save": ["lm_head"]}


def test_most_adapters_and_whole_models_load_as_they_are(adapter: Path, tmp_path: Path) -> None:
    assert is_loadable(adapter, start())
    assert not is_loadable(adapter, start(VALUED))
    assert not is_loadable(adapter, start(adapter=adapter))
    assert is_loadable(tmp_path / "model", start(VALUED))


@pytest.mark.parametrize(("family", "shard"), [("mixtral", "5GB"), ("mixtral", "40KB"), ("qwen3_moe", "5GB")])
def test_experts_get_the_names_that_the_result_has(
    family_model: Callable[[str], Path], tmp_path: Path, family: str, shard: str
) -> None:
    model = AutoModelForCausalLM.from_pretrained(family_model(family))
    result, saved = tmp_path / "result", tmp_path / "saved"
    model.save_pretrained(result)
    model.save_pretrained(saved, save_original_format=False, max_shard_size=shard)
    assert not is_loadable(saved, start())
    make_loadable(saved, start())
    assert is_loadable(saved, start())
    expected, found = weights_in(result), weights_in(saved)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    again = AutoModelForCausalLM.from_pretrained(saved).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in model.state_dict().items())


def weights_in(directory: Path) -> dict[str, torch.Tensor]:
    files = directory.glob("model*.safetensors")
    return {name: weight for file in files for name, weight in load_file(file).items()}
