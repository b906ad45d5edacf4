"""The wizard's request: what its form sends to be validated."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import rules
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To

NAME: Final = "wizard"

_TRACKERS: Final = ("wandb", "comet", "phoenix")


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return "algorithm" in document and "provider" in document


def table(document: Mapping[str, Any]) -> Table:
    """Return the rules of its keys. It names a model and data twice each, and a job once: by the hub's id of
    the model, and by where the data lies."""
    read = dict(TABLE)
    if document.get("model_name"):
        read["model_path"] = Left("model.id says it: for files in a volume, set model.path in its place")
    if document.get("dataset_path"):
        read["dataset_id"] = Left("dataset.train.path says where the data lies")
    return read


def _tracker(value: Any) -> Result:
    if value == "none":
        return Mapped({}, "no tracker")
    if value in _TRACKERS:
        return Mapped({"tracking.trackers": [{"type": value}]})
    return NotMapped(f"there is no tracker {value!r}")


TABLE: Final[Table] = {
    "provider": Choice("resources.provider", {name: name for name in ("local", "runpod", "lambda", "vast")}),
    "algorithm": Choice("method.type", {name: name for name in ("lora", "qlora", "dora", "pissa", "rslora")}),
    "quantization": Choice("quantization.type", {name: name for name in ("none", "int8", "int4", "nf4")}),
    "experiment_tracker": Read(_tracker),
    "project_name": To("tracking.project"),
    "model_name": Read(rules.model),
    "model_path": To("model.path"),
    "dataset_id": rules.data("dataset.train"),
    "dataset_path": To("dataset.train.path"),
    "lora_r": To("method.lora.rank"),
    "lora_alpha": To("method.lora.alpha"),
    "lora_dropout": To("method.lora.dropout"),
    "target_modules": rules.listed("method.lora.targetModules"),
    "learning_rate": To("training.learningRate"),
    "batch_size": To("training.microBatchSize"),
    "gradient_accumulation_steps": To("training.gradientAccumulationSteps"),
    "num_epochs": To("training.epochs"),
}
