"""grpo: of several answers to the same prompt, those that are worth more than their group become likelier."""

from collections.abc import Sequence
from typing import Any

import torch

from finetune_api.resolved import ResolvedJob
from finetune_api.stages import GrpoSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.distributed import sum_over_ranks
from finetune_trainer.stages.base import Batch, Outcome, Setting, Stage
from finetune_trainer.stages.drawn import DrawnAnswers
from finetune_trainer.stages.reference import Reference, reference_for, without_training
from finetune_trainer.stages.reward_functions import REWARDS
from finetune_trainer.stages.rollouts import Rollouts, Sampler, inputs_of, sampler_for

SPREAD_FLOOR = 1e-4
"""Added to a group's standard deviation, so that equal rewards give no advantage rather than NaN."""


class GroupRelative(DrawnAnswers):
    """GRPO (Shao et al. 2024, eq. 3): PPO's clipped objective without a value model. An item is an answer."""

    metrics = ("reward", "rewardDeviation", "kl", "clipShare", "answerTokens", "endedShare")

    def __init__(self, spec: GrpoSpec, sampler: Sampler, reference: Reference | None) -> None:
        super().__init__(sampler, spec.updates_per_batch)
        self.spec = spec
        self.reference = reference
        self.weights = spec.reward_weights or [1.0] * len(spec.reward_functions)

    def items(self, batch: Batch) -> torch.Tensor:
        return batch["real"].sum()

    def judge(self, drawn: Sequence[Rollouts], prompts: Sequence[Batch]) -> list[dict[str, torch.Tensor]]:
        rewards = [self._rewards(rollouts) for rollouts in drawn]
        advantages, deviations = self._advantages(rewards)
        return [
            self._judged(rollouts)
            | {
                "real": batch["real"],
                "reward": reward,
                "advantage": advantage.float(),
                "deviation": deviation,
            }
            for rollouts, batch, reward, advantage, deviation in zip(
                drawn, prompts, rewards, advantages, deviations, strict=True
            )
        ]

    def loss(self, model: Any, batch: Batch) -> Outcome:
        labels, real = batch["labels"], batch["real"]
        answered = labels[:, 1:] != IGNORED
        now = self.sampler.log_probabilities(model(**inputs_of(batch)).logits, labels)
        before = batch.get("before", now.detach())
        ratio = torch.exp(now - before)
        low, high = 1 - self.spec.clip_range, 1 + self.spec.clip_range
        gain = batch["advantage"].unsqueeze(1)
        losses = -torch.minimum(ratio * gain, ratio.clamp(low, high) * gain)
        measured = {
            "reward": batch["reward"][real],
            "rewardDeviation": batch["deviation"][real],
            "clipShare": ((ratio < low) | (ratio > high))[answered & real.unsqueeze(1)],
            "answerTokens": answered.sum(dim=1)[real],
            "endedShare": batch["ended"][real],
        }
        if "reference" in batch:
            # an estimate of the divergence that is never negative (Schulman 2020, k3)
            away = batch["reference"] - now
            divergence = torch.exp(away) - away - 1
            losses = losses + self.spec.kl_coefficient * divergence
            measured["kl"] = _row_means(divergence, answered)[real]
        return Outcome(total=_row_means(losses, answered)[real].sum(), measured=measured)

    def evaluate(self, _model: Any, batch: Batch) -> Outcome:
        """One answer to each prompt. The loss is the mean reward, negated, so that less is better."""
        [rollouts] = self.sampler.draw([batch], 0)
        rewards = self._rewards(rollouts)[batch["real"].cpu()]
        return Outcome(total=-rewards.sum(), measured={"reward": rewards})

    def _rewards(self, rollouts: Rollouts) -> torch.Tensor:
        """The weighted sum of the job's reward functions, of shape (rows,)."""
        weighted = list(zip(self.weights, self.spec.reward_functions, strict=True))
        return torch.tensor(
            [sum(weight * REWARDS[name](answer) for weight, name in weighted) for answer in rollouts.answers]
        )

    def _advantages(self, rewards: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Rewards relative to their group, which may lie on several ranks; and the groups' spread."""
        ranks, rank = self.sampler.accelerator.num_processes, self.sampler.accelerator.process_index
        rows = len(rewards[0])
        whole = torch.zeros(len(rewards), ranks, rows, dtype=torch.float64)
        whole[:, rank] = torch.stack(rewards)
        # the order in which `RankBatches` deals the step's answers out
        every = torch.tensor(sum_over_ranks(*whole.flatten().tolist()), dtype=torch.float64)
        groups = every.view(-1, self.spec.group_size)
        spread = groups.std(dim=1, keepdim=True).expand_as(groups)
        advantages = (groups - groups.mean(dim=1, keepdim=True)) / (spread + SPREAD_FLOOR)
        return _share(advantages, whole, rank), _share(spread, whole, rank)

    def _judged(self, rollouts: Rollouts) -> dict[str, torch.Tensor]:
        """The answers as the model gets them, with their log-probabilities before this step where a later
        pass, or the reference, needs them."""
        batch = rollouts.batch()
        model = self.sampler.model
        if self.spec.updates_per_batch > 1:
            with without_training(model):
                batch["before"] = self.sampler.log_probabilities(
                    model(**inputs_of(batch)).logits, batch["labels"]
                )
        if self.reference is not None:
            logits = self.reference.logits(inputs_of(batch))
            batch["reference"] = self.sampler.log_probabilities(logits, batch["labels"])
        return batch


def objective(setting: Setting) -> GroupRelative:
    """As the job asks; a reference only where it is held to one."""
    spec = settings(setting.job)
    sampler = sampler_for(setting, spec.sampling)
    return GroupRelative(spec, sampler, reference_for(setting) if spec.kl_coefficient else None)


def settings(job: ResolvedJob) -> GrpoSpec:
    """The job's section. Validation has made sure that it is there."""
    if job.spec.training.grpo is None:
        raise AssertionError("training.grpo is required")
    return job.spec.training.grpo


def _row_means(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The mean of each row over what is counted; 0 for a row without."""
    return (values * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)


def _share(values: torch.Tensor, whole: torch.Tensor, rank: int) -> list[torch.Tensor]:
    return list(values.reshape(whole.shape)[:, rank])


STAGE = Stage(objective=objective)
