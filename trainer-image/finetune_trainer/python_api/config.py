"""What to train, and how, for the `Trainer` of this package. Imports neither torch nor transformers."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml

from finetune_api.parameter_map import TRAINING_ENGINE, Parameter
from finetune_trainer.errors import InvalidConfigError


class InvalidTrainingConfigError(InvalidConfigError, ValueError):
    """A setting that cannot be; the message names it, its value, the rule and the way out."""


@dataclass
class TransformerConfig:
    """A decoder-only transformer that is trained from scratch."""

    vocab_size: int = 50257
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    max_position_embeddings: int = 1024
    """Longest sequence, in tokens."""
    dropout: float = 0.0
    architecture: str = "llama"
    """One of those that `model.config.architecture` of a job knows."""


@dataclass
class TrainingConfig:
    """One training run. Fields may be changed until a `Trainer` trains with them."""

    model_config: TransformerConfig = field(default_factory=TransformerConfig)
    batch_size: int = 8
    """Sequences per device in one forward pass."""
    learning_rate: float = 6e-4
    """Peak rate, after the warm-up."""
    max_steps: int = 100_000
    """Optimizer steps of the whole run, those before a resume included."""
    warmup_steps: int = 2000
    optimizer_type: str = "adamw"
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    scheduler_type: str = "cosine"
    """cosine, linear or constant."""
    min_lr_ratio: float = 0.1
    """Lowest rate of the cosine, as a share of `learning_rate`."""
    gradient_accumulation_steps: int = 1
    max_grad_norm: float = 1.0
    mixed_precision: Literal["fp16", "bf16"] | None = None
    logging_steps: int = 100
    save_steps: int = 1000
    eval_steps: int = 500
    checkpoint_dir: str = "./checkpoints"
    max_checkpoints_to_keep: int = 5
    wandb_project: str | None = None
    wandb_run_name: str | None = None
    resume_from_checkpoint: bool = False
    """Whether to go on from the newest whole checkpoint. If not, checkpoints that are there are set aside."""
    num_workers: int = 0
    """Processes that load batches."""
    seed: int = 42

    def validate(self) -> None:
        """Raises `InvalidTrainingConfigError` with everything that is wrong."""
        # the rules are the jobs' own; imported here, since reading a file does not need them
        from finetune_trainer.python_api.spec import findings

        problems = findings(self)
        if problems:
            raise InvalidTrainingConfigError("; ".join(problems))

    def get_effective_batch_size(self) -> int:
        """Sequences per optimizer step, over all ranks of a launch by torchrun."""
        return self.batch_size * self.gradient_accumulation_steps * int(os.environ.get("WORLD_SIZE", "1"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` makes an equal configuration of them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        """Raises `InvalidTrainingConfigError` for keys that are no fields."""
        values = dict(config_dict)
        _refuse_unknown(values, cls, "")
        model = values.get("model_config")
        if isinstance(model, Mapping):
            _refuse_unknown(model, TransformerConfig, "model_config.")
            values["model_config"] = TransformerConfig(**model)
        return cls(**values)

    def to_yaml(self, path: str | Path) -> None:
        """Writes the configuration; missing directories are made. Raises `OSError`."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(yaml.safe_dump(self.to_dict(), sort_keys=False), encoding="utf-8")

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Raises `OSError`, and `InvalidTrainingConfigError` for what is no configuration."""
        try:
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise InvalidTrainingConfigError(f"{path} is no YAML: {error}") from error
        if not isinstance(document, Mapping):
            raise InvalidTrainingConfigError(f"{path} holds no settings: write `name: value` lines")
        return cls.from_dict(document)


PARAMETERS: Final = {row.name: row for row in TRAINING_ENGINE.rows if isinstance(row, Parameter)}
"""Where each setting lives in a job, from the map that `finetune import` uses too."""


def _refuse_unknown(values: Mapping[str, Any], kind: type[Any], prefix: str) -> None:
    known = {each.name for each in fields(kind)}
    unknown = [f"{prefix}{name}" for name in values if name not in known]
    if unknown:
        raise InvalidTrainingConfigError(
            f"{', '.join(unknown)}: no such setting. There are {', '.join(sorted(known))}"
        )
