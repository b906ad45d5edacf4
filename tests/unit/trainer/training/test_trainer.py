"""What the trainer makes of transformers' checkpoints."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import small_models
from finetune_trainer.errors import StorageError
from finetune_trainer.training.trainer import FineTuneTrainer


def loaded_without(*missing: str) -> None:
    trainer = FineTuneTrainer.__new__(FineTuneTrainer)
    trainer.model = small_models.model("llama", tie_word_embeddings=True)
    trainer._issue_warnings_after_load(SimpleNamespace(missing_keys=list(missing), unexpected_keys=[]))


def test_a_checkpoint_that_lacks_a_weight_ends_the_run_instead_of_going_on_with_that_of_the_base() -> None:
    with pytest.raises(StorageError, match=r"lacks 1 weights of the model \(model\.norm\.weight, …\)"):
        loaded_without("model.norm.weight")


def test_the_second_name_of_a_shared_weight_is_not_missed() -> None:
    loaded_without("lm_head.weight")


def test_a_checkpoint_with_experts_is_a_model_that_loads(tmp_path: Path) -> None:
    """As `output.hub.strategy` pushes it while training goes on."""
    model = small_models.model("mixtral", **small_models.EXPERTS)
    model.save_pretrained(tmp_path, save_original_format=False)
    assert any(name.endswith(".experts.gate_up_proj") for name in load_file(tmp_path / "model.safetensors"))
    again, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    loaded = dict(again.named_parameters())
    assert all(torch.equal(loaded[name], weight) for name, weight in model.named_parameters())
