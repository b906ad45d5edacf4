"""The registry of stages: one stage, one module, one test.

A module says which head the model has, and how a batch becomes a loss; how examples become items, its recipe
does (`data/recipes.py`). The loop around it, with its data order, checkpoints, guards, reports and export, is
the same for all.
"""

from finetune_api.training import TrainingSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.stages import dpo, grpo, kto, ppo, rm
from finetune_trainer.stages.base import Stage

STAGES: dict[str, Stage] = {
    "pretrain": Stage(),
    "sft": Stage(),
    "rm": rm.STAGE,
    "dpo": dpo.STAGE,
    "kto": kto.STAGE,
    "ppo": ppo.STAGE,
    "grpo": grpo.STAGE,
}
"""By `training.stage`."""


def stage_for(training: TrainingSpec) -> Stage:
    """The stage of a job. Raises `InvalidConfigError`."""
    if training.stage not in STAGES:
        raise InvalidConfigError(
            f"training.stage: {training.stage} is not known to this trainer. Use one of {', '.join(STAGES)}"
        )
    return STAGES[training.stage]
