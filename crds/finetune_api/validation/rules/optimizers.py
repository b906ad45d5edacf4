"""Rules about optimizers that do not work with every other setting."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error
from finetune_api.validation.rules.common import uses_deepspeed

IN_BACKWARD: Final = ("lomo", "adalomo")
"""They change the weights while the backward pass runs, and keep no gradients."""

PROJECTING: Final = ("galoreAdamw", "galoreAdafactor", "apolloAdamw")
"""They project the gradient of each whole weight matrix onto a few dimensions."""

WHOLE: Final = (*PROJECTING, "adafactor", "stableAdamw")
"""What they do to a weight depends on the rest of its matrix. In a flat row, adafactor would also remember as
much as Adam's second moment."""

AVERAGING: Final = ("scheduleFreeAdamw", "scheduleFreeRadam", "scheduleFreeSgd")
"""They train one set of weights and show another, the average, to evaluations and in checkpoints."""


def optimizers(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """What the optimizer needs of accumulation, of DeepSpeed, of betas and of the method."""
    optimizer = job.spec.training.optimizer
    if optimizer in IN_BACKWARD:
        yield from _in_backward(job, optimizer)
    if optimizer in WHOLE:
        yield from _whole(job, optimizer)
    if optimizer in AVERAGING:
        yield from _averaging(job, optimizer)


def _in_backward(job: FineTuneJob, optimizer: str) -> Iterator[Finding]:
    steps = job.spec.training.gradient_accumulation_steps
    if steps > 1:
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.gradientAccumulationSteps",
            f"adds up gradients, and {optimizer} keeps none: it updates weights in the backward pass",
            "Set training.gradientAccumulationSteps to 1 and raise microBatchSize, or use optimizer adamw",
            steps,
        )
    if uses_deepspeed(job.spec):
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.optimizer",
            "updates weights in the backward pass, which DeepSpeed runs itself",
            "Use optimizer adamw, or distributed.engine torch",
            optimizer,
        )


def _whole(job: FineTuneJob, optimizer: str) -> Iterator[Finding]:
    if uses_deepspeed(job.spec):
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.optimizer",
            "looks at whole weight matrices, and DeepSpeed lays all weights out in one flat row",
            "Use distributed.engine torch with zeroStage 0, or optimizer adamw",
            optimizer,
        )
    if optimizer in PROJECTING and job.spec.method.uses_adapters:
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.optimizer",
            "projects the gradients of whole matrices, and those of adapters are small already",
            "Use method.type full, or optimizer adamw",
            optimizer,
        )


def _averaging(job: FineTuneJob, optimizer: str) -> Iterator[Finding]:
    training = job.spec.training
    if uses_deepspeed(job.spec):
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.optimizer",
            "shows the average of the weights to evaluations, and DeepSpeed has copies of them that would "
            "not follow",
            "Use distributed.engine torch with zeroStage 0, or optimizer adamw",
            optimizer,
        )
    if optimizer != "scheduleFreeSgd" and training.adam_beta1 == 0:
        yield error(
            Code.OPTIMIZER_CONFLICT,
            "training.adamBeta1",
            f"weighs the average that {optimizer} trains on, which cannot be 0",
            "Use training.adamBeta1 0.9",
            training.adam_beta1,
        )
