"""From the settings of a run to the job that the engine runs, and from what is wrong with that job back to
the names that the user knows. Pure."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal

from finetune_api import FineTuneJob, ResolvedJob, parse_job, resolve
from finetune_api.validation import validate_job
from finetune_api.validation.findings import InvalidJobError
from finetune_trainer.python_api.settings import PARAMETERS, TrainingSettings, TransformerConfig

FIELDS: Final = {
    name: row.field
    for name, row in PARAMETERS.items()
    if name not in {"checkpoint_dir", "min_lr_ratio", "resume_from_checkpoint"}
} | {
    "model_config.max_position_embeddings": "model.config.maxPositionEmbeddings",
    "model_config.dropout": "model.config.dropout",
    "model_config.architecture": "model.config.architecture",
    "min_lr_ratio": "training.schedule.minLearningRateRatio",
    "seed": "training.seed",
}
"""Field of a job's spec by the setting's name. A directory and a resume are the run's, not the job's."""

WORDS: Final = {
    "resources.accelerators.perNode is 0": "torch sees no GPU here",
    "Use auto, fp32 or bf16, or ask for accelerators": "Use bf16 or None, or a machine with a GPU",
}
"""What a job says of devices that it asks for, and this process of those that it has."""

TOKEN_IDS: Final = {
    "model": {"tokenizer": {"path": "/token-ids"}},
    "method": {"type": "full"},
    "dataset": {"format": "text", "train": {"path": "/token-ids"}},
    "training": {"stage": "pretrain", "loggingFirstStep": False},
    "checkpoints": {"atEpochEnd": False},
}
"""The rest of the job. Its data are tokens already: the paths stand where a job would name texts."""


def resolved(config: TrainingSettings, *, device: Literal["cuda", "cpu"]) -> ResolvedJob:
    """The job that the engine runs. Raises `InvalidJobError` for values that are of no use."""
    return resolve(
        _job(config),
        1,
        run_directory=str(Path(config.checkpoint_dir).absolute()),
        master_address="127.0.0.1",
        device=device,
    )


def findings(config: TrainingSettings) -> list[str]:
    """Everything that is wrong with a configuration, each with its remedy, by the settings' own names."""
    try:
        found = validate_job(_job(config), target="local")
    except InvalidJobError as error:
        found = error.findings
    return [_in_their_words(str(finding)) for finding in found if finding.severity == "error"]


def _job(config: TrainingSettings) -> FineTuneJob:
    spec: dict[str, Any] = {}
    for path, value in [*_leaves(TOKEN_IDS), *_settings(config)]:
        _put(spec, path, value)
    spec["training"]["maxSequenceLength"] = max(8, config.model_config.max_position_embeddings)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    spec["distributed"] = {"processesPerNode": ranks}
    spec["resources"] = {"accelerators": {"perNode": ranks if _sees_gpu() else 0}}
    if config.wandb_project is not None:
        offline = os.environ.get("WANDB_MODE") == "offline"
        spec["tracking"]["trackers"] = [{"type": "wandb", "offline": offline}]
    return parse_job(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "python-api"},
            "spec": spec,
        }
    )


def _sees_gpu() -> bool:
    # imported here: making and reading a configuration takes no torch
    import torch

    return torch.cuda.is_available()


def _settings(config: TrainingSettings) -> Iterator[tuple[str, Any]]:
    values: dict[str, Any] = {each.name: getattr(config, each.name) for each in fields(config)}
    values |= {
        f"model_config.{each.name}": getattr(config.model_config, each.name)
        for each in fields(TransformerConfig)
    }
    if config.scheduler_type != "cosine":
        values["min_lr_ratio"] = 0.0
    for name, path in FIELDS.items():
        if name not in values:
            continue
        value, names = values[name], PARAMETERS[name].values if name in PARAMETERS else {}
        if isinstance(value, str | None) and value in names:
            value = names[value]
        if value is not None:
            yield path, value


def _in_their_words(finding: str) -> str:
    """The finding with the settings' names in the place of a job's field paths, longest first."""
    for theirs, ours in WORDS.items():
        finding = finding.replace(theirs, ours)
    for name, path in sorted(FIELDS.items(), key=lambda item: -len(item[1])):
        finding = finding.replace(path, name)
    return finding


def _leaves(value: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, child in value.items():
        here = f"{path}.{key}" if path else key
        if isinstance(child, dict):
            yield from _leaves(child, here)
        else:
            yield here, child


def _put(spec: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        spec = spec.setdefault(parent, {})
    spec[last] = value
