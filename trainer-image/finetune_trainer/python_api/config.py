"""What to train, and how, for the `Trainer` of this package. Imports neither torch nor transformers."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import yaml

from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.python_api.settings import TrainingSettings, TransformerConfig
from finetune_trainer.python_api.spec import findings


class InvalidTrainingConfigError(InvalidConfigError, ValueError):
    """A setting that cannot be; the message names it, its value, the rule and the way out."""


class TrainingConfig(TrainingSettings):
    """One training run, with what can be done to its settings."""

    def validate(self) -> None:
        """Raises `InvalidTrainingConfigError` with everything that is wrong."""
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


def _refuse_unknown(values: Mapping[str, Any], kind: type[Any], prefix: str) -> None:
    known = {each.name for each in fields(kind)}
    unknown = [f"{prefix}{name}" for name in values if name not in known]
    if unknown:
        raise InvalidTrainingConfigError(
            f"{', '.join(unknown)}: no such setting. There are {', '.join(sorted(known))}"
        )
