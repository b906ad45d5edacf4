"""Rules about `spec.training`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning
from finetune_api.validation.rules.common import pattern

HIGH_LEARNING_RATE: Final = 1e-3

_STAGE_SETTINGS: Final = {"dpo": "dpo", "kto": "kto", "ppo": "ppo", "grpo": "grpo", "rm": "reward_model"}


def training(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Batch, rate, schedule and precision that can work together and on the device."""
    yield from _batch_and_rate(job)
    yield from _precision(job)
    yield from _stopping(job)
    spec = job.spec.training
    for index, group in enumerate(spec.parameter_groups):
        yield from pattern(group.pattern, f"training.parameterGroups[{index}].pattern")
    if spec.data_loader.prefetch_factor is not None and spec.data_loader.workers == 0:
        yield error(
            Code.REQUIRES,
            "training.dataLoader.prefetchFactor",
            "is for loader processes, and dataLoader.workers is 0",
            "Set training.dataLoader.workers or remove prefetchFactor",
            spec.data_loader.prefetch_factor,
        )
    if spec.schedule.stable_ratio is not None and spec.schedule.type != "warmupStableDecay":
        yield error(
            Code.CONFLICT,
            "training.schedule.stableRatio",
            f"belongs to schedule.type warmupStableDecay, and the type is {spec.schedule.type}",
            "Remove stableRatio or change the type",
            spec.schedule.stable_ratio,
        )
    if spec.schedule.min_learning_rate_ratio > 0 and spec.schedule.type != "cosine":
        yield error(
            Code.CONFLICT,
            "training.schedule.minLearningRateRatio",
            f"is a part of schedule.type cosine, and the type is {spec.schedule.type}",
            "Remove minLearningRateRatio or use schedule.type cosine",
            spec.schedule.min_learning_rate_ratio,
        )
    for stage, field in _STAGE_SETTINGS.items():
        if getattr(spec, field) is not None and spec.stage != stage:
            name = "rewardModel" if field == "reward_model" else field
            yield error(
                Code.CONFLICT,
                f"training.{name}",
                f"belongs to training.stage {stage}, and the stage is {spec.stage}",
                f"Remove training.{name} or set training.stage to {stage}",
            )


def _batch_and_rate(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec.training
    if spec.micro_batch_size * spec.gradient_accumulation_steps == 1:
        yield warning(
            Code.SMALL_EFFECTIVE_BATCH,
            "training.gradientAccumulationSteps",
            "gives an effective batch of one sequence per rank, which makes gradients noisy",
            "Raise training.gradientAccumulationSteps (8 to 32 is usual) or training.microBatchSize",
            spec.gradient_accumulation_steps,
        )
    if spec.learning_rate > HIGH_LEARNING_RATE:
        yield warning(
            Code.HIGH_LEARNING_RATE,
            "training.learningRate",
            "is high and may make training unstable",
            "Use 1e-3 or less: 2e-4 is usual for adapters, 1e-5 for full fine-tuning",
            spec.learning_rate,
        )
    steps = spec.schedule.warmup_steps
    if steps is not None and spec.max_steps is not None and steps >= spec.max_steps:
        yield error(
            Code.CONFLICT,
            "training.schedule.warmupSteps",
            f"the warm-up would not end within training.maxSteps {spec.max_steps}",
            "Use fewer warm-up steps",
            steps,
        )


def _precision(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    on_cpu = spec.resources.accelerators.per_node == 0
    if spec.training.precision in ("fp16", "tf32") and on_cpu:
        yield error(
            Code.PRECISION_DEVICE_MISMATCH,
            "training.precision",
            "needs an accelerator, and resources.accelerators.perNode is 0",
            "Use auto, fp32 or bf16, or ask for accelerators",
            spec.training.precision,
        )


def _stopping(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    evaluates = spec.dataset.eval is not None or spec.dataset.eval_split > 0
    in_loop = evaluates and (spec.evaluation.every_steps > 0 or spec.evaluation.at_epoch_end)
    remedy = "Set dataset.eval or dataset.evalSplit, and evaluation.everySteps"
    if spec.training.early_stopping is not None and not in_loop:
        yield error(
            Code.REQUIRES,
            "training.earlyStopping",
            "needs an evaluation while training, and there is none",
            remedy,
        )
    if spec.output.checkpoint == "best" and not in_loop:
        yield error(
            Code.REQUIRES,
            "output.checkpoint",
            "the best checkpoint is known from evaluation while training, and there is none",
            f"{remedy}; or use output.checkpoint last",
            "best",
        )
