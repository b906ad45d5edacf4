"""The Trainer where something happens: a signal, a broken item, a loss that is not a number."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_trainer import Trainer, TrainingConfig, TransformerConfig
from finetune_trainer.errors import DataError, InterruptedRunError

pytestmark = pytest.mark.slow

SEQUENCES = [(torch.arange(8) + start) % 16 for start in range(16)]


def config(directory: Path, **changes: Any) -> TrainingConfig:
    model = TransformerConfig(vocab_size=16, hidden_size=16, num_layers=1, num_heads=2)
    return TrainingConfig(
        model_config=model,
        batch_size=4,
        max_steps=6,
        warmup_steps=1,
        logging_steps=1,
        checkpoint_dir=str(directory),
        **changes,
    )


class Ends(list[torch.Tensor]):
    """Sequences; reading the ninth ends the process, as a pod's eviction would."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        if self.reads == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)


def test_a_signal_ends_it_with_a_checkpoint_from_which_it_goes_on(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRunError, match="checkpoint is committed"):
        Trainer(config(tmp_path / "cut"), Ends(SEQUENCES)).train()
    assert signal.getsignal(signal.SIGTERM) is before
    Trainer(config(tmp_path / "cut", resume_from_checkpoint=True), SEQUENCES).train()
    Trainer(config(tmp_path / "whole"), SEQUENCES).train()
    cut, whole = (
        next((tmp_path / name / "checkpoints" / "step-00000006").glob("model.safetensors")).read_bytes()
        for name in ("cut", "whole")
    )
    assert cut == whole


def test_a_broken_item_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_dataset\[3\]: token 99"):
        Trainer(config(tmp_path), [*SEQUENCES[:3], torch.tensor([1, 99]), *SEQUENCES[4:]]).train()


def test_what_is_there_is_set_aside_rather_than_lost(tmp_path: Path) -> None:
    Trainer(config(tmp_path), SEQUENCES).train()
    Trainer(config(tmp_path, seed=7), SEQUENCES).train()
    [aside] = tmp_path.glob("checkpoints-before-*")
    assert (aside / "step-00000006" / "model.safetensors").exists()
