"""rm: a model that scores a conversation, so that the preferred of two answers scores higher."""

from typing import Any

import torch
from torch.nn.functional import logsigmoid

from finetune_api.stages import RewardModelSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.model.heads import SCORE
from finetune_trainer.stages.base import Batch, Objective, Outcome, Setting, Stage, supervised_rows


class BradleyTerry(Objective):
    """−log σ(r_chosen − r_rejected) (Ouyang et al. 2022, eq. 1), with a term that keeps rewards around zero:
    c · (r_chosen + r_rejected)² (Eisenstein et al. 2023, eq. 2). An item is a pair."""

    metrics = ("rewardChosen", "rewardRejected", "rewardMargin", "rewardAccuracy")

    def __init__(self, spec: RewardModelSpec) -> None:
        self.spec = spec

    def items(self, batch: Batch) -> torch.Tensor:
        return _real(batch).sum()

    def loss(self, model: Any, batch: Batch) -> Outcome:
        scores = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).logits
        real = _real(batch)
        chosen, rejected = (side[real] for side in scores.float().squeeze(-1).chunk(2))
        loss = -logsigmoid(chosen - rejected)
        if self.spec.center_rewards_coefficient:
            loss = loss + self.spec.center_rewards_coefficient * (chosen + rejected) ** 2
        return Outcome(
            total=loss.sum(),
            measured={
                "rewardChosen": chosen,
                "rewardRejected": rejected,
                "rewardMargin": chosen - rejected,
                "rewardAccuracy": chosen > rejected,
            },
        )


def objective(setting: Setting) -> BradleyTerry:
    """As the job asks. The model looks for a text's last token by the padding that follows it."""
    model: Any = setting.model
    model.config.pad_token_id = setting.tokenizer.pad_token_id
    return BradleyTerry(setting.job.spec.training.reward_model or RewardModelSpec())


def _real(batch: Batch) -> torch.Tensor:
    return supervised_rows(batch["labels"], IGNORED).chunk(2)[0]


STAGE = Stage(head=SCORE, objective=objective)
