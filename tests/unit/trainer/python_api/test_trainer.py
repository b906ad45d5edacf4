"""The Trainer where something happens: a signal, a broken item, a loss that is not a number."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from api_ranks import COUNTING, train_on_ranks
from finetune_trainer import Trainer, TrainingConfig, TransformerConfig
from finetune_trainer.errors import DataError, InterruptedRunError
from finetune_trainer.python_api.config import InvalidTrainingConfigError

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
    """Sequences; reading the ninth after all were looked at ends the process, as a pod's eviction would."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        if self.reads == len(self) + 9:
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


def test_a_run_that_goes_on_with_other_data_says_so_from_then_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Trainer(config(tmp_path), SEQUENCES).train()
    assert "approximate" not in caplog.text
    other = [*SEQUENCES[:-1], SEQUENCES[0]]
    for steps in (7, 8):
        longer = config(tmp_path, resume_from_checkpoint=True)
        longer.max_steps = steps
        caplog.clear()
        Trainer(longer, other).train()
        assert "the run is approximate: the training data is not what it was at step 6" in caplog.text


def test_a_broken_item_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_dataset\[3\]: token 99"):
        Trainer(config(tmp_path), [*SEQUENCES[:3], torch.tensor([1, 99]), *SEQUENCES[4:]]).train()


def test_what_is_there_is_set_aside_rather_than_lost(tmp_path: Path) -> None:
    Trainer(config(tmp_path), SEQUENCES).train()
    Trainer(config(tmp_path, seed=7), SEQUENCES).train()
    [aside] = tmp_path.glob("checkpoints-before-*")
    assert (aside / "step-00000006" / "model.safetensors").exists()


def test_another_run_is_refused_in_its_place_and_leaves_its_settings_alone(tmp_path: Path) -> None:
    Trainer(config(tmp_path), SEQUENCES).train()
    with pytest.raises(
        InvalidTrainingConfigError, match=r"checkpoint_dir: .* holds checkpoints of another run"
    ):
        Trainer(config(tmp_path, learning_rate=1e-4, resume_from_checkpoint=True), SEQUENCES).train()
    assert TrainingConfig.from_yaml(tmp_path / "config.yaml") == config(tmp_path)


def test_a_gpt2_is_trained_saved_and_read_by_transformers(tmp_path: Path) -> None:
    """With dropout and learned positions: the document's own architecture."""
    from transformers import GPT2LMHeadModel

    settings = config(tmp_path)
    settings.model_config.architecture = "gpt2"
    settings.model_config.dropout = 0.1
    settings.model_config.max_position_embeddings = 8
    trainer = Trainer(settings, SEQUENCES, SEQUENCES[:2])
    trainer.train()
    assert isinstance(trainer.model, GPT2LMHeadModel)
    assert trainer.model.config.n_positions == 8
    assert trainer.model.config.attn_pdrop == trainer.model.config.resid_pdrop == 0.1
    read = GPT2LMHeadModel.from_pretrained(tmp_path / "checkpoints" / "step-00000006")
    assert torch.equal(read.transformer.wpe.weight, trainer.model.transformer.wpe.weight)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_loss_is_the_mean_over_the_tokens_that_are_predicted(tmp_path: Path, architecture: str) -> None:
    from transformers import AutoModelForCausalLM

    settings = config(tmp_path)
    settings.model_config.architecture = architecture
    settings.max_steps, settings.warmup_steps = 1, 0
    Trainer(settings, [SEQUENCES[0]] * 4).train()
    [base] = tmp_path.glob("base-*/")
    ids = SEQUENCES[0][None]
    expected = AutoModelForCausalLM.from_pretrained(base)(input_ids=ids, labels=ids).loss
    assert losses(tmp_path) == [(1, pytest.approx(expected.item(), rel=1e-5))]


def test_ranks_of_torchrun_compute_what_one_process_does_and_go_on(tmp_path: Path) -> None:
    """Two ranks with half the sequences each, in two launches, against one process in one."""
    alone = config(tmp_path / "alone", scheduler_type="constant")
    Trainer(alone, COUNTING).train()
    both = config(tmp_path / "both", scheduler_type="constant", resume_from_checkpoint=True)
    both.batch_size = 2
    for steps in (3, 6):
        both.max_steps = steps
        both.to_yaml(tmp_path / "config.yaml")
        assert train_on_ranks(tmp_path / "config.yaml", 2) == [0, 0]
    assert losses(tmp_path / "both") == [
        (step, pytest.approx(loss, rel=1e-4)) for step, loss in losses(tmp_path / "alone")
    ]


def losses(directory: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]
