"""Rules about `spec.distributed`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.base import AUTO
from finetune_api.deepspeed import OFFLOAD_OPTIMIZERS, contradictions, offloads
from finetune_api.job import FineTuneJob, processes_per_node
from finetune_api.rules_over_sections import OFFLOADED_OPTIMIZER, OFFLOADED_PARAMETERS
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import plain
from finetune_api.validation.findings import Finding, broken, error, suggestion, warning

SHORT_TIMEOUT_SECONDS: Final = 300


def distributed(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """ZeRO stage, offload, engine and ranks that fit together."""
    spec = job.spec.distributed
    yield from _offload(job)
    if spec.engine == "torch" and (spec.stage_of_zero > 0 or spec.deepspeed_config is not None):
        yield error(
            Code.CONFLICT,
            "distributed.engine",
            "plain torch has no ZeRO and reads no DeepSpeed configuration",
            "Use engine: auto, or zeroStage: 0 without deepspeedConfig",
            spec.engine,
        )
    accelerators = job.spec.resources.accelerators.per_node
    if accelerators and spec.processes_per_node is not None and spec.processes_per_node > accelerators:
        yield error(
            Code.CONFLICT,
            "distributed.processesPerNode",
            f"is more than the {accelerators} accelerators of a node (resources.accelerators.perNode)",
            "Use one process per accelerator, or ask for more of them",
            spec.processes_per_node,
        )
    if spec.backend == "nccl" and not accelerators:
        yield error(
            Code.CONFLICT,
            "distributed.backend",
            "nccl connects GPUs, and resources.accelerators.perNode is 0",
            "Use backend: auto",
            spec.backend,
        )
    ranks = spec.nodes * processes_per_node(job.spec)
    if ranks > 1 and spec.timeout_seconds < SHORT_TIMEOUT_SECONDS:
        yield suggestion(
            Code.SHORT_TIMEOUT,
            "distributed.timeoutSeconds",
            "is short: ranks wait for one another while the first one tokenises the data",
            f"Use {SHORT_TIMEOUT_SECONDS} or more",
            spec.timeout_seconds,
        )
    yield from _raw(job)
    yield from _volume(job)


def _offload(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec.distributed
    if spec.offload.optimizer == "cpu" and spec.zero_stage == 0:
        yield broken(Code.REQUIRES, OFFLOADED_OPTIMIZER, "cpu")
    if spec.offload.parameters == "cpu" and spec.zero_stage not in (3, AUTO):
        yield broken(Code.REQUIRES, OFFLOADED_PARAMETERS, "cpu")
    raw = "distributed.deepspeedConfig.zero_optimization.offload_optimizer"
    offloaded = offloads(spec, "offload_optimizer")
    if offloaded and spec.offload.optimizer == "none" and spec.zero_stage == 0:
        yield error(Code.REQUIRES, raw, "needs ZeRO", "Set distributed.zeroStage to 2, or remove it")
    optimizer = job.spec.training.optimizer
    if offloaded and optimizer not in OFFLOAD_OPTIMIZERS:
        cause, way_out = (
            ("distributed.offload.optimizer: cpu", "offload.optimizer none")
            if spec.offload.optimizer == "cpu"
            else (raw, "remove that")
        )
        yield error(
            Code.OFFLOAD_OPTIMIZER,
            "training.optimizer",
            f"DeepSpeed would quietly replace it by Adam under {cause}",
            f"Use training.optimizer adamw, or {way_out}",
            optimizer,
        )


def _raw(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    asked = spec.training.precision
    precision = None if asked == "auto" else "fp32" if asked == "tf32" else asked
    ranks = spec.distributed.nodes * processes_per_node(spec)
    for found in contradictions(spec, ranks, precision):
        path = f"distributed.deepspeedConfig.{found.key}"
        yield error(Code.DEEPSPEED_CONFLICT, path, found.message, found.remedy, plain(found.found))


def _volume(job: FineTuneJob) -> Iterator[Finding]:
    storage = job.spec.checkpoints.storage
    if job.spec.distributed.nodes == 1 or not storage.creates_claim:
        return
    if "ReadWriteMany" not in storage.access_modes:
        yield warning(
            Code.SHARED_VOLUME,
            "checkpoints.storage.accessModes",
            f"the pods of {job.spec.distributed.nodes} nodes share this volume, and it can be mounted on one "
            "machine only",
            "Use [ReadWriteMany] and a storage class that has it, or keep all pods on one machine",
            [*storage.access_modes],
        )
