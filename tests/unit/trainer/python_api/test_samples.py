"""The code samples of the training engine's document, adapted to our import path and made small."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from finetune_trainer import Trainer, TrainingConfig, TransformerConfig

pytestmark = pytest.mark.slow

VOCABULARY = 64


class MyDataset(Dataset[torch.Tensor]):
    """Counts up from a number that the index gives, so that there is something to learn."""

    def __init__(self, size: int = 24, seq_len: int = 12) -> None:
        self.size = size
        self.seq_len = seq_len

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, idx: int) -> torch.Tensor:
        return (torch.arange(self.seq_len) + idx) % VOCABULARY


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model_config() -> TransformerConfig:
    return TransformerConfig(vocab_size=VOCABULARY, hidden_size=16, num_layers=1, num_heads=2)


@pytest.fixture
def train_data() -> MyDataset:
    return MyDataset()


@pytest.fixture
def val_data() -> MyDataset:
    return MyDataset(size=6)


def lines(directory: str = "checkpoints") -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in Path(directory, "metrics.jsonl").read_text().splitlines()]


def test_minimal_training_example() -> None:
    config = TrainingConfig(
        model_config=TransformerConfig(vocab_size=VOCABULARY, hidden_size=32, num_layers=2, num_heads=4),
        batch_size=8,
        learning_rate=1e-2,
        max_steps=30,
        warmup_steps=2,
        checkpoint_dir="./checkpoints",
    )
    trainer = Trainer(config=config, train_dataset=MyDataset())
    trainer.train()
    [line] = lines()
    assert line["step"] == 30
    assert line["loss"] < 0.9 * math.log(VOCABULARY)


def test_yaml_based_training(train_data: MyDataset) -> None:
    Path("config.yaml").write_text(
        """
model_config:
  vocab_size: 64
  hidden_size: 16
  num_layers: 1
  num_heads: 2

batch_size: 8
learning_rate: 0.0006
warmup_steps: 1
max_steps: 4
checkpoint_dir: ./checkpoints
save_steps: 2
logging_steps: 1
"""
    )
    config = TrainingConfig.from_yaml("config.yaml")
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    assert [line["step"] for line in lines()] == [1, 2, 3, 4]
    assert sorted(path.name for path in Path("checkpoints/checkpoints").glob("step-*")) == [
        "step-00000002",
        "step-00000004",
    ]


def test_trainer(model_config: TransformerConfig, train_data: MyDataset, val_data: MyDataset) -> None:
    config = TrainingConfig(model_config=model_config, warmup_steps=1, max_steps=3)
    trainer = Trainer(config=config, train_dataset=train_data, val_dataset=val_data)
    assert trainer.get_throughput()["tokens_per_second"] == 0.0

    trainer.train()

    metrics = trainer.metrics_tracker.get_averages()
    throughput = trainer.get_throughput()
    assert set(metrics) == {"loss", "perplexity", "lr", "grad_norm"}
    assert metrics["loss"] == pytest.approx(math.log(VOCABULARY), rel=0.1)
    assert throughput["tokens_per_second"] > 0


def test_training_with_validation(
    model_config: TransformerConfig, train_data: MyDataset, val_data: MyDataset
) -> None:
    config = TrainingConfig(
        model_config=model_config, warmup_steps=1, batch_size=8, max_steps=4, eval_steps=2
    )
    trainer = Trainer(config=config, train_dataset=train_data, val_dataset=val_data)
    trainer.train()
    assert [line["step"] for line in lines() if "evalLoss" in line] == [2, 4]


def test_mixed_precision_training(model_config: TransformerConfig, train_data: MyDataset) -> None:
    config = TrainingConfig(
        model_config=model_config, warmup_steps=1, batch_size=8, max_steps=2, mixed_precision="bf16"
    )
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    assert math.isfinite(lines()[-1]["loss"])


def test_gradient_accumulation(model_config: TransformerConfig, train_data: MyDataset) -> None:
    config = TrainingConfig(
        model_config=model_config, warmup_steps=1, batch_size=4, gradient_accumulation_steps=8, max_steps=2
    )
    assert config.get_effective_batch_size() == 32
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    assert lines()[-1]["step"] == 2


def test_resume_training(model_config: TransformerConfig, train_data: MyDataset) -> None:
    config = TrainingConfig(
        model_config=model_config,
        warmup_steps=1,
        max_steps=3,
        logging_steps=1,
        checkpoint_dir="./checkpoints/run1",
    )
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()

    config = TrainingConfig.from_yaml("./checkpoints/run1/config.yaml")
    config.max_steps = 5
    config.resume_from_checkpoint = True
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    written = lines("checkpoints/run1")
    assert [line["step"] for line in written] == [1, 2, 3, 4, 5]
    assert written[-1]["tokens"] == 5 * 8 * 12


def test_wandb_experiment_tracking(
    model_config: TransformerConfig, train_data: MyDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = TrainingConfig(
        model_config=model_config,
        warmup_steps=1,
        batch_size=8,
        max_steps=2,
        wandb_project="llm-playground",
        wandb_run_name="gpt2-small-wikitext-v1",
    )
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    [file] = Path("checkpoints/tracking/wandb").glob("wandb/offline-run-*/run-*.wandb")
    assert b"llm-playground" in file.read_bytes()


def test_custom_scheduler(model_config: TransformerConfig, train_data: MyDataset) -> None:
    config = TrainingConfig(
        model_config=model_config,
        batch_size=8,
        learning_rate=6e-4,
        warmup_steps=2,
        max_steps=6,
        logging_steps=1,
        scheduler_type="cosine",
    )
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    rates = [line["learningRate"] for line in lines()]
    assert max(rates) == pytest.approx(6e-4)
    assert rates[-1] < rates[-2] < max(rates)


def test_every_essential_parameter(model_config: TransformerConfig) -> None:
    config = TrainingConfig(
        model_config=model_config,
        batch_size=8,
        learning_rate=6e-4,
        max_steps=100000,
        warmup_steps=2000,
        optimizer_type="adamw",
        weight_decay=0.01,
        adam_beta1=0.9,
        adam_beta2=0.999,
        scheduler_type="cosine",
        gradient_accumulation_steps=4,
        max_grad_norm=1.0,
        mixed_precision="bf16",
        logging_steps=100,
        save_steps=1000,
        eval_steps=500,
        checkpoint_dir="./checkpoints",
        max_checkpoints_to_keep=5,
        wandb_project="my-project",
        wandb_run_name="experiment-1",
        resume_from_checkpoint=True,
    )
    config.validate()
    config.to_yaml("experiment_1.yaml")
    assert TrainingConfig.from_yaml("experiment_1.yaml") == config


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1e-4, "max_grad_norm": 1.0, "mixed_precision": "bf16"},
        {"batch_size": 4, "gradient_accumulation_steps": 8, "mixed_precision": "bf16"},
        {"batch_size": 16, "mixed_precision": "bf16"},
        {"learning_rate": 3e-4, "warmup_steps": 4000, "scheduler_type": "cosine"},
    ],
    ids=["nan", "out-of-memory", "slow", "learning-rate"],
)
def test_troubleshooting(settings: dict[str, Any]) -> None:
    TrainingConfig(**settings).validate()


EXAMPLES = {
    "small": (
        "model_config: {vocab_size: 50257, hidden_size: 256, num_layers: 4, num_heads: 4}\n"
        "batch_size: 16\nlearning_rate: 0.001\nmax_steps: 10000\nwarmup_steps: 500\nmixed_precision: bf16\n",
        16,
    ),
    "medium": (
        "model_config: {vocab_size: 50257, hidden_size: 768, num_layers: 12, num_heads: 12}\n"
        "batch_size: 8\ngradient_accumulation_steps: 4\nlearning_rate: 0.0006\nmax_steps: 100000\n"
        "warmup_steps: 2000\nscheduler_type: cosine\nmixed_precision: bf16\n",
        32,
    ),
    "large": (
        "model_config: {vocab_size: 50257, hidden_size: 1024, num_layers: 24, num_heads: 16}\n"
        "batch_size: 4\ngradient_accumulation_steps: 8\nlearning_rate: 0.00025\nmax_steps: 300000\n"
        "warmup_steps: 4000\nscheduler_type: cosine\nmixed_precision: bf16\nmax_grad_norm: 1.0\n"
        "weight_decay: 0.01\n",
        32,
    ),
}


@pytest.mark.parametrize(("text", "batch"), EXAMPLES.values(), ids=EXAMPLES)
def test_example_configurations(text: str, batch: int) -> None:
    Path("config.yaml").write_text(text)
    config = TrainingConfig.from_yaml("config.yaml")
    config.validate()
    assert config.get_effective_batch_size() == batch


def test_checkpoints_of_a_run_are_the_managers_too(
    model_config: TransformerConfig, train_data: MyDataset, caplog: pytest.LogCaptureFixture
) -> None:
    from finetune_trainer.checkpoint import CheckpointManager

    config = TrainingConfig(
        model_config=model_config,
        warmup_steps=1,
        max_steps=4,
        save_steps=1,
        max_checkpoints_to_keep=2,
        seed=3,
    )
    config.resume_from_checkpoint = True
    trainer = Trainer(config=config, train_dataset=train_data)
    trainer.train()
    assert "No checkpoint found to resume from" in caplog.text
    manager = CheckpointManager(checkpoint_dir=config.checkpoint_dir, max_checkpoints=5)
    assert [each["step"] for each in manager.list_checkpoints()] == [3, 4]

    trained = trainer.model
    assert trained is not None
    fresh = type(trained)(trained.config)
    step, loss, read = manager.load_checkpoint(manager.get_latest_checkpoint(), fresh)
    assert (step, read) == (4, config)
    assert math.isfinite(loss)
    for name, weight in fresh.state_dict().items():
        assert torch.equal(weight, trained.state_dict()[name])
