"""Rules about `spec.distributed`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from finetune_api.job import FineTuneJob
from finetune_api.resolved import processes_per_node
from finetune_api.rules_over_sections import OFFLOADED_OPTIMIZER, OFFLOADED_PARAMETERS
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import plain
from finetune_api.validation.findings import Finding, broken, error, suggestion, warning

SHORT_TIMEOUT_SECONDS: Final = 300

OFFLOAD_OPTIMIZERS: Final = ("adamw",)
"""Optimizers that DeepSpeed runs on the CPU as they are; any other is quietly replaced by Adam."""


def distributed(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """ZeRO stage, offload, engine and ranks that fit together."""
    spec = job.spec.distributed
    yield from _offload(job)
    if spec.engine == "torch" and (spec.zero_stage > 0 or spec.deepspeed_config is not None):
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
    if spec.deepspeed_config is not None:
        yield from _raw(job, spec.deepspeed_config)
    yield from _volume(job)


def _offload(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec.distributed
    if spec.offload.optimizer == "cpu" and spec.zero_stage == 0:
        yield broken(Code.REQUIRES, OFFLOADED_OPTIMIZER, "cpu")
    if spec.offload.parameters == "cpu" and spec.zero_stage != 3:
        yield broken(Code.REQUIRES, OFFLOADED_PARAMETERS, "cpu")
    optimizer = job.spec.training.optimizer
    if spec.offload.optimizer == "cpu" and optimizer not in OFFLOAD_OPTIMIZERS:
        yield error(
            Code.OFFLOAD_OPTIMIZER,
            "training.optimizer",
            "DeepSpeed would quietly replace it by Adam under distributed.offload.optimizer: cpu",
            "Use training.optimizer adamw, or offload.optimizer none",
            optimizer,
        )


def _raw(job: FineTuneJob, config: Mapping[str, Any]) -> Iterator[Finding]:
    spec = job.spec
    ranks = spec.distributed.nodes * processes_per_node(spec)
    micro, steps = spec.training.micro_batch_size, spec.training.gradient_accumulation_steps
    wanted = {
        "train_micro_batch_size_per_gpu": ("training.microBatchSize", micro),
        "gradient_accumulation_steps": ("training.gradientAccumulationSteps", steps),
        "train_batch_size": (
            "training.microBatchSize × gradientAccumulationSteps × ranks",
            micro * steps * ranks,
        ),
        "gradient_clipping": ("training.maxGradNorm", spec.training.max_grad_norm),
        "zero_optimization.stage": ("distributed.zeroStage", spec.distributed.zero_stage),
    }
    for key, (field, value) in wanted.items():
        found = _at(config, key)
        if found is not None and found not in ("auto", value):
            yield error(
                Code.DEEPSPEED_CONFLICT,
                f"distributed.deepspeedConfig.{key}",
                f"contradicts {field} = {value}",
                f"Remove it, write auto, or change {field}",
                plain(found),
            )
    for key in ("optimizer", "scheduler"):
        if key in config:
            yield error(
                Code.DEEPSPEED_CONFLICT,
                f"distributed.deepspeedConfig.{key}",
                "the optimizer and the schedule come from the spec",
                "Remove it and use training.optimizer and training.schedule",
            )


def _at(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


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
