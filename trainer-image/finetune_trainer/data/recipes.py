"""The recipe of each stage: how the records of a job become the items that it learns from."""

from collections.abc import Mapping
from typing import Final

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.judged import judged
from finetune_trainer.data.making import MakeRecipe, Recipe, conversations, documents
from finetune_trainer.data.preferences import pairs
from finetune_trainer.data.preparation import Examples, prepare_data, renderer_for
from finetune_trainer.data.prompts import prompts
from finetune_trainer.data.training_data import Divisible, TrainingData
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.model.tokenizers import Tokenizer

RECIPES: Final[Mapping[str, MakeRecipe]] = {
    "pretrain": documents,
    "sft": conversations,
    "rm": pairs,
    "dpo": pairs,
    "kto": judged,
    "ppo": prompts,
    "grpo": prompts,
}
"""By `training.stage`."""


def recipe_for(job: ResolvedJob, tokenizer: Tokenizer) -> Recipe[Divisible]:
    """The recipe of a job. Raises `InvalidConfigError` for a stage that has none."""
    stage = job.spec.training.stage
    if stage not in RECIPES:
        raise InvalidConfigError(
            f"training.stage: {stage} is not known to this trainer. Use one of {', '.join(RECIPES)}"
        )
    return RECIPES[stage](job, renderer_for(job.spec, tokenizer))


def prepare(
    job: ResolvedJob, examples: Examples, tokenizer: Tokenizer
) -> tuple[TrainingData, TrainingData | None]:
    """The training and evaluation data of a job. Raises what `prepare_data` raises."""
    return prepare_data(job, examples, recipe_for(job, tokenizer))
