"""What the trainer makes of transformers' checkpoints."""

from types import SimpleNamespace

import pytest

import small_models
from finetune_trainer.errors import StorageError
from finetune_trainer.trainer import FineTuneTrainer


def loaded_without(*missing: str) -> None:
    trainer = FineTuneTrainer.__new__(FineTuneTrainer)
    trainer.model = small_models.model("llama", tie_word_embeddings=True)
    trainer._issue_warnings_after_load(SimpleNamespace(missing_keys=list(missing), unexpected_keys=[]))


def test_a_checkpoint_that_lacks_a_weight_ends_the_run_instead_of_going_on_with_that_of_the_base() -> None:
    with pytest.raises(StorageError, match=r"lacks 1 weights of the model \(model\.norm\.weight, …\)"):
        loaded_without("model.norm.weight")


def test_the_second_name_of_a_shared_weight_is_not_missed() -> None:
    loaded_without("lm_head.weight")
