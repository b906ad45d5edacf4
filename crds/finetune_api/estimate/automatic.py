"""What `auto` means on a given accelerator, and what a new job should start from there. Pure."""

from typing import Final

from finetune_api.estimate.estimate import Estimate, estimate, on_devices
from finetune_api.estimate.fit import Change, apply, propose_fit
from finetune_api.estimate.setup import UnknownArchitectureError
from finetune_api.hardware import Accelerator, HardwareCatalog
from finetune_api.job import FineTuneJob

MEMORY_EFFICIENT: Final = "sdpa"
"""Attention whose memory does not grow with the square of the length, on every device."""

SHORTEST: Final = 512
"""Sequences below this length are not suggested, in tokens."""

EFFECTIVE_BATCH: Final = 16
"""Sequences per optimizer step that a suggestion aims at, in whatever micro-batches fit."""


def automatic(
    job: FineTuneJob, accelerator: Accelerator | None, catalog: HardwareCatalog | None = None
) -> FineTuneJob:
    """The job with `training.gradientCheckpointing: auto` decided: none where even the high bound fits
    without it, since it costs a forward pass; else full. Unchanged where the accelerator or the model is not
    known.

    The other fields with `auto` are decided where the trainer runs, by what it finds there.
    """
    if accelerator is None or job.spec.training.gradient_checkpointing != "auto":
        return job
    try:
        found = estimate(job, accelerator, catalog=catalog)
    except UnknownArchitectureError:
        return job
    roomy = not (found.cannot_fit or found.may_not_fit)
    return apply(job, {"training.gradientCheckpointing": "none" if roomy else "full"})


def checkpointed(
    job: FineTuneJob,
    accelerator: Accelerator,
    *,
    devices: int | None = None,
    records: int | None = None,
    tokens: int | None = None,
    catalog: HardwareCatalog | None = None,
) -> Estimate | None:
    """The estimate of a job as it will run where `training.gradientCheckpointing: auto` takes full; None
    where it takes none, or there is nothing to decide. Arguments and errors are those of `estimate`."""
    placed = on_devices(job, accelerator, devices)
    decided = automatic(placed, accelerator, catalog)
    if decided == placed or decided.spec.training.gradient_checkpointing != "full":
        return None
    return estimate(decided, accelerator, records=records, tokens=tokens, catalog=catalog)


def suggested(
    job: FineTuneJob, accelerator: Accelerator, catalog: HardwareCatalog | None = None
) -> tuple[Change, Estimate] | None:
    """Values for a new job on `accelerator`, by field path: arithmetic, attention, and the fastest
    micro-batch, checkpointing, ZeRO stage and quantization of the base that fit, for an effective batch of
    about 16; shorter sequences only where nothing else fits. None where nothing that is tried fits.

    Raises `UnknownArchitectureError` for a model that nobody knows in numbers.
    """
    ranks = max(1, job.spec.distributed.nodes * max(1, job.spec.resources.accelerators.per_node))
    basics: Change = {
        "training.precision": "bf16" if accelerator.supports("bf16") else "fp16",
        "model.attention": MEMORY_EFFICIENT,
        "training.microBatchSize": 1,
        "training.gradientAccumulationSteps": max(1, EFFECTIVE_BATCH // ranks),
    }
    length = job.spec.training.max_sequence_length
    while (proposal := propose_fit(apply(job, basics), accelerator, fewer=False, catalog=catalog)) is None:
        length //= 2
        if length < SHORTEST:
            return None
        basics["training.maxSequenceLength"] = length
    fastest = proposal[1]
    chosen = apply(job, basics | fastest.changes).spec
    shown: Change = {
        "training.gradientCheckpointing": chosen.training.gradient_checkpointing,
        "distributed.zeroStage": chosen.distributed.zero_stage,
    }
    if chosen.method.uses_adapters:
        shown["quantization.type"] = chosen.quantization.type
    return basics | fastest.changes | shown, fastest.estimate
