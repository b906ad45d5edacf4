"""The training engine's TrainingConfig: a model from scratch."""

from typing import Any, Final

from finetune_cli.foreign import arguments
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To

NAME: Final = "engine"


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return "model_config" in document


def _optimizer(value: Any) -> Result:
    return (
        Mapped({"training.optimizer": "adamw"})
        if value == "adamw"
        else NotMapped("the engine has adamw only")
    )


def _project(value: Any) -> Result:
    return Mapped({"tracking.project": value, "tracking.trackers": [{"type": "wandb"}]})


TABLE: Final[Table] = {
    "model_config.vocab_size": To("model.config.vocabSize"),
    "model_config.hidden_size": To("model.config.hiddenSize"),
    "model_config.num_layers": To("model.config.layers"),
    "model_config.num_heads": To("model.config.attentionHeads"),
    "batch_size": To("training.microBatchSize"),
    "learning_rate": To("training.learningRate"),
    "max_steps": To("training.maxSteps"),
    "warmup_steps": To("training.schedule.warmupSteps"),
    "optimizer_type": Read(_optimizer),
    "weight_decay": To("training.weightDecay"),
    "adam_beta1": To("training.adamBeta1"),
    "adam_beta2": To("training.adamBeta2"),
    "scheduler_type": Choice("training.schedule.type", {n: n for n in ("cosine", "linear", "constant")}),
    "min_lr_ratio": To("training.schedule.minLearningRateRatio"),
    "gradient_accumulation_steps": To("training.gradientAccumulationSteps"),
    "max_grad_norm": To("training.maxGradNorm"),
    "mixed_precision": Choice("training.precision", {**arguments.PRECISIONS, None: "fp32"}),
    "num_workers": To("training.dataLoader.workers"),
    "logging_steps": To("training.loggingSteps"),
    "save_steps": To("checkpoints.everySteps"),
    "eval_steps": To("evaluation.everySteps"),
    "checkpoint_dir": Left("a job writes to its own directory on checkpoints.storage"),
    "max_checkpoints_to_keep": To("checkpoints.keep"),
    "wandb_project": Read(_project),
    "wandb_run_name": To("tracking.runName"),
    "resume_from_checkpoint": Choice("checkpoints.resume", {True: "auto", False: "never"}),
}

IMPLIED: Final = {
    "method": {"type": "full"},
    "training": {"stage": "pretrain"},
    "dataset": {"format": "text"},
    "model": {"config": {"architecture": "gpt2"}},
}
"""What the engine does without a key for it: every weight of a decoder like GPT-2, on plain text."""
