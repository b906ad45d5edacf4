"""TrainingConfig: checked by the jobs' own rules, in the settings' own names; to and from files."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer import TrainingConfig, TransformerConfig
from finetune_trainer.python_api.config import InvalidTrainingConfigError
from finetune_trainer.python_api.spec import resolved


def test_defaults_are_valid() -> None:
    TrainingConfig().validate()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size: 0"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"max_steps": "many"}, "max_steps"),
        ({"optimizer_type": "sgd9000"}, "optimizer_type"),
        ({"scheduler_type": "triangle"}, "scheduler_type"),
        ({"mixed_precision": "int3"}, "mixed_precision"),
        ({"mixed_precision": "fp16"}, "mixed_precision"),
        ({"model_config": TransformerConfig(hidden_size=30, num_heads=4)}, "model_config.hidden_size"),
        ({"logging_steps": 0}, "logging_steps"),
        ({"max_checkpoints_to_keep": 0}, "max_checkpoints_to_keep"),
        ({"min_lr_ratio": 2.0}, "min_lr_ratio"),
        ({"num_workers": -1}, "num_workers"),
    ],
)
def test_what_is_wrong_is_said_by_the_name_of_the_setting(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTrainingConfigError) as raised:
        TrainingConfig(**changes).validate()
    assert words in str(raised.value)
    assert isinstance(raised.value, ValueError)


def test_fp16_is_for_processes_that_see_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(mixed_precision="fp16")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InvalidTrainingConfigError) as raised:
        config.validate()
    assert str(raised.value) == (
        "mixed_precision: fp16 needs an accelerator, and torch sees no GPU here. "
        "Use bf16 or None, or a machine with a GPU."
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    config.validate()
    assert resolved(config, device="cuda").spec.resources.accelerators.per_node == 2


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidTrainingConfigError) as raised:
        TrainingConfig(batch_size=0, learning_rate=-1.0).validate()
    assert "batch_size" in str(raised.value)
    assert "learning_rate" in str(raised.value)


def test_settings_are_what_the_engine_runs() -> None:
    config = TrainingConfig(
        model_config=TransformerConfig(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4),
        batch_size=4,
        gradient_accumulation_steps=8,
        warmup_steps=20,
        mixed_precision="bf16",
        save_steps=7,
        eval_steps=3,
        checkpoint_dir="runs/one",
        wandb_project="numbers",
        wandb_run_name="first",
    )
    job = resolved(config, device="cpu")
    spec = job.spec
    assert spec.model.config is not None
    assert (spec.model.config.vocab_size, spec.model.config.layers) == (300, 2)
    assert (spec.training.micro_batch_size, spec.training.gradient_accumulation_steps) == (4, 8)
    assert (spec.training.precision, spec.training.schedule.warmup_steps) == ("bf16", 20)
    assert spec.training.schedule.min_learning_rate_ratio == 0.1
    assert (spec.checkpoints.every_steps, spec.evaluation.every_steps) == (7, 3)
    assert job.paths.run_directory == str(Path("runs/one").absolute())
    assert [tracker.type for tracker in spec.tracking.trackers] == ["wandb"]
    assert (spec.tracking.project, spec.tracking.run_name) == ("numbers", "first")
    assert job.effective_batch_size == config.get_effective_batch_size() == 32


def test_without_mixed_precision_it_computes_in_fp32() -> None:
    assert resolved(TrainingConfig(), device="cpu").spec.training.precision == "fp32"


def test_a_longer_run_is_the_same_run() -> None:
    from finetune_api.lineage import lineage_hash

    short, long = (resolved(TrainingConfig(max_steps=steps), device="cpu").spec for steps in (10, 20))
    other = resolved(TrainingConfig(learning_rate=1e-3), device="cpu").spec
    assert lineage_hash(short) == lineage_hash(long) != lineage_hash(other)


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    config = TrainingConfig(model_config=TransformerConfig(hidden_size=64), wandb_project="p", seed=1)
    config.to_yaml(tmp_path / "deep" / "config.yaml")
    assert TrainingConfig.from_yaml(tmp_path / "deep" / "config.yaml") == config
    assert TrainingConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batchsize: 8", "batchsize: no such setting"),
        ("model_config: {layers: 2}", "model_config.layers: no such setting"),
        ("- 8", "holds no settings"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(InvalidTrainingConfigError, match=words):
        TrainingConfig.from_yaml(file)


def test_the_package_is_cheap_to_import() -> None:
    program = (
        "import sys, finetune_trainer; from finetune_trainer import TrainingConfig; TrainingConfig();"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_there_is_nothing_else_in_the_package() -> None:
    import finetune_trainer

    with pytest.raises(AttributeError, match="Trainee"):
        _ = finetune_trainer.Trainee  # type: ignore[attr-defined]
