"""What stages that compare with the model as it started need beside the pass that learns."""

from dataclasses import dataclass
from typing import Final

from finetune_api.job import FineTuneJobSpec
from finetune_api.stages import GrpoSpec, PpoSpec

WITHOUT_REFERENCE: Final = ("simpo", "orpo")
"""Losses of dpo that compare the two answers with each other alone."""


@dataclass(frozen=True)
class Reference:
    """The reference of a stage."""

    copy: bool = False
    """Whether a second model is there; else the base is what the adapters leave when they are off."""
    forwards: float = 0
    """Forward passes without gradients for each pass that learns; of the policy before it learns, and of
    the reward model, too."""


def reference_of(spec: FineTuneJobSpec) -> Reference:
    """The reference that a job needs, as `finetune_trainer.stages` computes it.

    kto takes three passes: the reference on the answers, and it and the trained model on the answers to other
    prompts, from which rewards count (Ethayarajh et al. 2024, KTO, section 4). grpo needs none where nothing
    holds it to the reference. ppo and grpo judge answers once and learn from them in several passes: ppo by
    the policy itself, the reference and the reward model; grpo by the reference, and by the policy where it
    takes several passes.
    """
    training = spec.training
    copy = not spec.method.starts_at_base
    match training.stage:
        case "dpo":
            if training.dpo is not None and training.dpo.loss_type in WITHOUT_REFERENCE:
                return Reference()
            other = training.dpo is not None and training.dpo.reference_model is not None
            return Reference(copy or other, 1)
        case "kto":
            return Reference(copy, 3)
        case "grpo":
            grpo = training.grpo or GrpoSpec()
            held, passes = grpo.kl_coefficient > 0, grpo.updates_per_batch
            return Reference(copy and held, (held + (passes > 1)) / passes)
        case "ppo":
            return Reference(copy, 3 / (training.ppo or PpoSpec()).updates_per_batch)
        case _:
            return Reference()
