"""ppo: answers that a reward model scores higher than the value model expected become likelier."""

from collections.abc import Sequence
from typing import Any

import torch

from finetune_api.resolved import ResolvedJob
from finetune_api.stages import PpoSpec
from finetune_trainer.data.prompts import PromptDataset, prepare_prompts
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.distributed import sum_over_ranks
from finetune_trainer.heads import VALUED
from finetune_trainer.stages.advantages import estimate, whitened
from finetune_trainer.stages.base import Batch, Examples, Objective, Outcome, Setting, Stage
from finetune_trainer.stages.reference import Reference, reference_for, without_training
from finetune_trainer.stages.reward_model import RewardModel, load_reward_model
from finetune_trainer.stages.rollouts import Rollouts, Sampler, inputs_of
from finetune_trainer.tokenizers import Tokenizer

VALUE_CLIP = 0.2
"""How far one update may move a value, as in PPO's and TRL's implementations."""


class ProximalPolicy(Objective):
    """PPO (Schulman et al. 2017, eq. 7) as Ouyang et al. (2022) use it: the reward model's score comes with
    the last token, and each token costs its divergence from the reference. An item is a token of an answer.

    The value model is a head on the trained model's last hidden states.
    """

    metrics = ("reward", "kl", "clipShare", "valueLoss", "answerTokens", "endedShare")

    def __init__(
        self, spec: PpoSpec, sampler: Sampler, reference: Reference, reward_model: RewardModel
    ) -> None:
        self.spec = spec
        self.sampler = sampler
        self.reference = reference
        self.reward_model = reward_model
        self.judged: list[dict[str, torch.Tensor]] = []

    def items(self, batch: Batch) -> torch.Tensor:
        if "labels" not in batch:
            return batch["real"].sum()
        return _counted(batch).sum()

    def begin_step(self, step: int, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Answers to a step's prompts with their advantages; those of the step before in another pass."""
        if self.judged and step % self.spec.updates_per_batch:
            return self.judged
        drawn = [
            self.sampler.draw(batch, step * len(batches) + number) for number, batch in enumerate(batches)
        ]
        self.judged = [self._judged(rollouts, batch) for rollouts, batch in zip(drawn, batches, strict=True)]
        plain = [judged["advantage"] for judged in self.judged]
        counted = [_counted(judged) for judged in self.judged]
        for judged, advantage in zip(self.judged, whitened(plain, counted, sum_over_ranks), strict=True):
            judged["advantage"] = advantage
        return self.judged

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
        rewards = self.reward_model.score(batch, self.sampler.draw(batch, 0).answers)[batch["real"]]
        return Outcome(total=-rewards.sum(), measured={"reward": rewards})

    def _judged(self, rollouts: Rollouts, prompts: Batch) -> dict[str, torch.Tensor]:
        """The answers as the model gets them, with all that the loss compares them to. What is of shape
        (rows, tokens − 1) belongs to the token that is predicted there."""
        batch = rollouts.batch() | {"real": prompts["real"].to(rollouts.ids.device)}
        model = self.sampler.model
        with without_training(model):
            before, values = self._policy(model, batch)
        reference = self.sampler.log_probabilities(self.reference.logits(inputs_of(batch)), batch["labels"])
        scores = self.reward_model.score(prompts, rollouts.answers).to(before)
        answered = batch["labels"][:, 1:] != IGNORED
        rewards = -self.spec.kl_coefficient * (before - reference)
        last = (answered * torch.arange(answered.shape[1], device=answered.device)).argmax(dim=1)
        rewards[torch.arange(len(last)), last] += scores
        advantages = estimate(rewards, values, answered, self.spec.discount, self.spec.gae_lambda)
        return batch | {
            "before": before,
            "reference": reference,
            "value": values,
            "advantage": advantages,
            "return": advantages + values,
            "reward": scores,
        }

    def _policy(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of the answers' tokens, and what the value head expects before each."""
        outputs = model(**inputs_of(batch), output_hidden_states=True)
        values = self.sampler.model.value_head(outputs.hidden_states[-1]).float()
        return self.sampler.log_probabilities(outputs.logits, batch["labels"]), values[:, :-1]


def objective(setting: Setting) -> ProximalPolicy:
    """As the job asks, held to the model as it started."""
    spec = settings(setting.job)
    seed = setting.job.spec.training.seed
    sampler = Sampler(setting.model, setting.tokenizer, spec.sampling, setting.accelerator, seed)
    return ProximalPolicy(spec, sampler, reference_for(setting), load_reward_model(setting, spec))


def settings(job: ResolvedJob) -> PpoSpec:
    """The job's section. Validation has made sure that it is there."""
    if job.spec.training.ppo is None:
        raise AssertionError("training.ppo is required")
    return job.spec.training.ppo


def prepare(
    job: ResolvedJob, examples: Examples, tokenizer: Tokenizer
) -> tuple[PromptDataset, PromptDataset | None]:
    """The prompts of a job."""
    return prepare_prompts(job, examples, tokenizer, settings(job).sampling.max_new_tokens)


def _counted(batch: Batch) -> torch.Tensor:
    """Which tokens are those of an answer that is learned from."""
    return (batch["labels"][:, 1:] != IGNORED) & batch["real"].unsqueeze(1)


STAGE = Stage(prepare=prepare, head=VALUED, objective=objective)
