"""What the stages share that learn from answers which the model draws itself (ppo, grpo)."""

from abc import abstractmethod
from collections.abc import Sequence

import torch

from finetune_trainer.stages.base import Batch, Objective
from finetune_trainer.stages.rollouts import Rollouts, Sampler


class DrawnAnswers(Objective):
    """Draws the answers to a whole optimizer step at once and learns from them in `passes` steps.

    Dropout is switched off for the whole run: an answer is drawn and judged without it, and the ratio that is
    clipped would be noise if the pass that learns had it.
    """

    def __init__(self, sampler: Sampler, passes: int) -> None:
        self.sampler = sampler
        self.passes = passes
        self.judged: list[dict[str, torch.Tensor]] = []
        without_dropout(sampler.model)

    @abstractmethod
    def judge(self, drawn: Sequence[Rollouts], prompts: Sequence[Batch]) -> list[dict[str, torch.Tensor]]:
        """The micro-batches of answers as `loss` gets them, with all that it compares them to: tensors alone.
        All ranks call it alike."""

    def begin_step(self, step: int, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Answers to a step's prompts with what they are worth; those of the step before in another pass."""
        if not self.judged or step % self.passes == 0:
            drawn = self.sampler.draw(batches, step * len(batches))
            self.judged = self.judge(drawn, batches)
        return self.judged

    def kept(self, step: int) -> list[dict[str, torch.Tensor]]:
        """What a run that goes on from this step needs: the answers that are not done with."""
        within = step % self.passes != 0
        return [{name: each.cpu() for name, each in batch.items()} for batch in self.judged] if within else []

    def restore(self, kept: list[dict[str, torch.Tensor]]) -> None:
        """Goes on with answers that were drawn before the run was ended."""
        self.judged = kept


def without_dropout(model: torch.nn.Module | None) -> None:
    """Switches off every dropout of a model, modules and the rates that attention layers hold themselves."""
    for module in model.modules() if model is not None else ():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, rate in list(vars(module).items()):
            if "dropout" in name and isinstance(rate, float):
                setattr(module, name, 0.0)
