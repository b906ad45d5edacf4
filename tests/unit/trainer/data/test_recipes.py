"""Every stage has a recipe for its data."""

from collections.abc import Callable
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.data.recipes import RECIPES, recipe_for
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.stages import STAGES


def test_each_stage_has_one() -> None:
    assert RECIPES.keys() == STAGES.keys()


def test_a_stage_without_one_is_refused_with_those_there_are(make_job: Callable[..., ResolvedJob]) -> None:
    job = make_job()
    training = job.spec.training.model_copy(update={"stage": "orpo"})
    strange = job.model_copy(update={"spec": job.spec.model_copy(update={"training": training})})
    tokenizer: Any = None
    with pytest.raises(InvalidConfigError, match=r"^training\.stage: orpo is not known .* pretrain, sft, rm"):
        recipe_for(strange, tokenizer)
