"""ppo: answers that a reward model scores higher than the value model expected become likelier."""

from collections.abc import Sequence
from typing import Any

import torch

from finetune_api.resolved import ResolvedJob
from finetune_api.stages import PpoSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.distributed import sum_over_ranks
from finetune_trainer.model.heads import VALUED
from finetune_trainer.stages.advantages import centered, estimate, whitened
from finetune_trainer.stages.base import Batch, Outcome, Setting, Stage
from finetune_trainer.stages.drawn import DrawnAnswers
from finetune_trainer.stages.reference import Reference, reference_for, without_training
from finetune_trainer.stages.reward_model import RewardModel, load_reward_model
from finetune_trainer.stages.rollouts import Rollouts, Sampler, inputs_of, sampler_for

VALUE_CLIP = 0.2
"""How far one update may move a value, as in PPO's and TRL's implementations."""


class ProximalPolicy(DrawnAnswers):
    """PPO (Schulman et al. 2017, eq. 7) as Ouyang et al. (2022) use it: the reward model's score comes with
    the last token, and each token costs its divergence from the reference. An item is a token of an answer.

    The value model is a head on the trained model's last hidden states, and starts at 0. Scores count from
    the mean of the answers drawn together: the zero of a reward model means nothing, and while the head has
    not found it, advantages would tell of a token's place rather than of its worth (Yuan et al. 2025,
    arXiv:2503.01491; Ziegler et al. 2019 shift the reward model itself).
    """

    metrics = ("reward", "kl", "clipShare", "valueLoss", "answerTokens", "endedShare")

    def __init__(
        self, spec: PpoSpec, sampler: Sampler, reference: Reference, reward_model: RewardModel
    ) -> None:
        super().__init__(sampler, spec.updates_per_batch)
        self.spec = spec
        self.reference = reference
        self.reward_model = reward_model

    def items(self, batch: Batch) -> torch.Tensor:
        if "labels" not in batch:
            return batch["real"].sum()
        return _counted(batch).sum()

    def judge(self, drawn: Sequence[Rollouts], prompts: Sequence[Batch]) -> list[dict[str, torch.Tensor]]:
        scores = [
            self.reward_model.score(batch, rollouts.answers)
            for rollouts, batch in zip(drawn, prompts, strict=True)
        ]
        real = [batch["real"].to(score.device) for batch, score in zip(prompts, scores, strict=True)]
        gains = centered(scores, real, sum_over_ranks)
        judged = [
            self._judged(rollouts, batch, gain) | {"reward": score}
            for rollouts, batch, gain, score in zip(drawn, prompts, gains, scores, strict=True)
        ]
        plain = [batch["advantage"] for batch in judged]
        advantages = whitened(plain, [_counted(batch) for batch in judged], sum_over_ranks)
        return [batch | {"advantage": advantage} for batch, advantage in zip(judged, advantages, strict=True)]

    def loss(self, model: Any, batch: Batch) -> Outcome:
        counted, real = _counted(batch), batch["real"]
        now, values = self._policy(model, batch)
        ratio = torch.exp(now - batch["before"])
        low, high = 1 - self.spec.clip_range, 1 + self.spec.clip_range
        gain = batch["advantage"]
        policy_loss = -torch.minimum(ratio * gain, ratio.clamp(low, high) * gain)
        near = batch["value"] + (values - batch["value"]).clamp(-VALUE_CLIP, VALUE_CLIP)
        target = batch["return"]
        value_loss = 0.5 * torch.maximum((values - target) ** 2, (near - target) ** 2)
        losses = policy_loss + self.spec.value_coefficient * value_loss
        return Outcome(
            total=losses[counted].sum(),
            measured={
                "reward": batch["reward"][real],
                "kl": (batch["before"] - batch["reference"])[counted],
                "clipShare": ((ratio < low) | (ratio > high))[counted],
                "valueLoss": value_loss[counted],
                "answerTokens": counted.sum(dim=1)[real],
                "endedShare": batch["ended"][real],
            },
        )

    def evaluate(self, _model: Any, batch: Batch) -> Outcome:
        """One answer to each prompt. The loss is the mean reward, negated, so that less is better."""
        [rollouts] = self.sampler.draw([batch], 0)
        rewards = self.reward_model.score(batch, rollouts.answers)[batch["real"]]
        return Outcome(total=-rewards.sum(), measured={"reward": rewards})

    def _judged(self, rollouts: Rollouts, prompts: Batch, gain: torch.Tensor) -> dict[str, torch.Tensor]:
        """The answers as the model gets them, with all that the loss compares them to; `gain` is what each is
        worth, of shape (rows,). What is of shape (rows, tokens − 1) belongs to the token that is predicted
        there."""
        batch = rollouts.batch() | {"real": prompts["real"].to(rollouts.ids.device)}
        model = self.sampler.model
        with without_training(model):
            before, values = self._policy(model, batch)
        reference = self.sampler.log_probabilities(self.reference.logits(inputs_of(batch)), batch["labels"])
        answered = batch["labels"][:, 1:] != IGNORED
        rewards = -self.spec.kl_coefficient * (before - reference)
        last = (answered * torch.arange(answered.shape[1], device=answered.device)).argmax(dim=1)
        rewards[torch.arange(len(last)), last] += gain.to(before)
        advantages = estimate(rewards, values, answered, self.spec.discount, self.spec.gae_lambda)
        return batch | {
            "before": before,
            "reference": reference,
            "value": values,
            "advantage": advantages,
            "return": advantages + values,
        }

    def _policy(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of the answers' tokens, and what the value head expects before each."""
        outputs = model(**inputs_of(batch), output_hidden_states=True)
        values = self.sampler.model.value_head(outputs.hidden_states[-1]).float()
        return self.sampler.log_probabilities(outputs.logits, batch["labels"]), values[:, :-1]


def objective(setting: Setting) -> ProximalPolicy:
    """As the job asks, held to the model as it started."""
    spec = settings(setting.job)
    sampler = sampler_for(setting, spec.sampling)
    return ProximalPolicy(spec, sampler, reference_for(setting), load_reward_model(setting, spec))


def settings(job: ResolvedJob) -> PpoSpec:
    """The job's section. Validation has made sure that it is there."""
    if job.spec.training.ppo is None:
        raise AssertionError("training.ppo is required")
    return job.spec.training.ppo


def _counted(batch: Batch) -> torch.Tensor:
    """Which tokens are those of an answer that is learned from."""
    return (batch["labels"][:, 1:] != IGNORED) & batch["real"].unsqueeze(1)


STAGE = Stage(head=VALUED, objective=objective)
