"""Rules about what makes a run diverge, stand still or learn by heart."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, suggestion, warning
from finetune_api.validation.rules.common import uses_deepspeed

HIGH_LEARNING_RATE: Final = 1e-3
HIGH_FULL_LEARNING_RATE: Final = 1e-4
MANY_EPOCHS: Final = 10
LONG_RUN_STEPS: Final = 10_000


def stability(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Rates, warm-up, clipping and arithmetic with which runs usually go well."""
    yield from _rate(job)
    yield from _schedule(job)
    yield from _arithmetic(job)
    spec = job.spec.training
    if spec.max_grad_norm == 0:
        yield warning(
            Code.NO_GRADIENT_CLIPPING,
            "training.maxGradNorm",
            "leaves gradients as large as they come, so that one bad batch can ruin the run",
            "Set training.maxGradNorm to 1.0",
            0,
        )
    if spec.max_steps is None and spec.epochs > MANY_EPOCHS:
        yield suggestion(
            Code.MANY_EPOCHS,
            "training.epochs",
            "is many passes over the same records, which models learn by heart",
            "Use 2 to 5 epochs, or training.earlyStopping with evaluation data",
            spec.epochs,
        )


def _rate(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec.training
    if spec.learning_rate > HIGH_LEARNING_RATE:
        yield warning(
            Code.HIGH_LEARNING_RATE,
            "training.learningRate",
            "is high and may make training unstable",
            "Use 1e-3 or less: 2e-4 is usual for adapters, 1e-5 for full fine-tuning",
            spec.learning_rate,
        )
    elif _changes_all_of_a_trained_model(job) and spec.learning_rate > HIGH_FULL_LEARNING_RATE:
        yield suggestion(
            Code.HIGH_FULL_LEARNING_RATE,
            "training.learningRate",
            "suits adapters; when every weight of a trained model moves that far, it forgets what it knew",
            "Use 1e-5 to 5e-5 for method.type full",
            spec.learning_rate,
        )


def _changes_all_of_a_trained_model(job: FineTuneJob) -> bool:
    spec = job.spec
    return spec.method.type == "full" and spec.model.config is None and spec.training.stage != "pretrain"


def _schedule(job: FineTuneJob) -> Iterator[Finding]:
    spec, schedule = job.spec.training, job.spec.training.schedule
    without = schedule.warmup_ratio == 0 if schedule.warmup_steps is None else schedule.warmup_steps == 0
    if without:
        yield suggestion(
            Code.NO_WARMUP,
            "training.schedule.warmupSteps"
            if schedule.warmup_steps == 0
            else "training.schedule.warmupRatio",
            "starts at the full learning rate, before the optimizer knows the size of the gradients",
            "Use training.schedule.warmupRatio 0.03 to 0.1",
            0,
        )
    if schedule.type == "constant" and (spec.max_steps or 0) >= LONG_RUN_STEPS:
        yield suggestion(
            Code.CONSTANT_RATE,
            "training.schedule.type",
            f"keeps the rate at its peak for all {spec.max_steps} steps; long runs end better with a decay",
            "Use training.schedule.type cosine",
            "constant",
        )
    if spec.optimizer.startswith("scheduleFree") and schedule.type != "constant":
        yield warning(
            Code.SCHEDULED_SCHEDULE_FREE,
            "training.schedule.type",
            f"changes the rate, and {spec.optimizer} averages weights as if it stayed constant",
            "Use training.schedule.type constant",
            schedule.type,
        )


def _arithmetic(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    accelerated = spec.resources.accelerators.per_node > 0
    if spec.training.precision == "fp16" and accelerated:
        yield suggestion(
            Code.UNSTABLE_PRECISION,
            "training.precision",
            "overflows above 65504, which ends in losses that are not numbers; bf16 does not",
            "Use auto, which takes bf16 where the accelerator has it",
            "fp16",
        )
    if spec.training.precision == "fp32" and accelerated:
        yield suggestion(
            Code.SLOW_PRECISION,
            "training.precision",
            "takes twice the memory of bf16 and several times its time on an accelerator",
            "Use auto or bf16",
            "fp32",
        )
    loaded = spec.model.load_precision
    if spec.method.uses_adapters or spec.model.config is not None or uses_deepspeed(spec):
        return
    if loaded == "fp16":
        yield error(
            Code.NO_MASTER_WEIGHTS,
            "model.loadPrecision",
            "weights that are trained can't be held in fp16: their gradients can't be unscaled",
            "Use model.loadPrecision auto, which keeps them in fp32",
            loaded,
        )
    elif loaded == "bf16":
        yield warning(
            Code.NO_MASTER_WEIGHTS,
            "model.loadPrecision",
            "holds the weights that are trained in bf16, where small updates are rounded away",
            "Use model.loadPrecision auto, or DeepSpeed, which keeps a copy in fp32",
            loaded,
        )
