"""Rules about `spec.training`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning
from finetune_api.validation.rules.common import pattern


def training(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Batch, loss and loader settings that mean something together."""
    yield from _batch(job)
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
    if spec.engine == "llamafactory" and (spec.stage == "grpo" or job.spec.method.type == "spectrum"):
        lacking = "training.stage grpo" if spec.stage == "grpo" else "method.type spectrum"
        yield error(
            Code.CONFLICT,
            "training.engine",
            f"llamafactory does not have {lacking}",
            "Use training.engine transformers",
            spec.engine,
        )


def _batch(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec.training
    if spec.sequences_per_rank == 1:
        yield warning(
            Code.SMALL_EFFECTIVE_BATCH,
            "training.gradientAccumulationSteps",
            "gives an effective batch of one sequence per rank, which makes gradients noisy",
            "Raise training.gradientAccumulationSteps (8 to 32 is usual) or training.microBatchSize",
            spec.gradient_accumulation_steps,
        )
