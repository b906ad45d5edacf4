"""When DeepSpeed runs a job, and its raw configuration: what the spec decides in its stead, and what it asks
for once it is merged over ours. The validator, the estimator and the trainer all read it here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic import JsonValue

from finetune_api.distributed import DistributedSpec
from finetune_api.job import FineTuneJobSpec

OFFLOAD_OPTIMIZERS: Final = ("adamw",)
"""Optimizers that DeepSpeed runs on the CPU as they are; any other is quietly replaced by Adam."""

AUTO: Final = "auto"
"""Leaves a key of the raw configuration to us."""

SECTIONS: Final = (
    "zero_optimization",
    "activation_checkpointing",
    "aio",
    "amp",
    "autotuning",
    "checkpoint",
    "comms_logger",
    "compression_training",
    "csv_monitor",
    "data_efficiency",
    "data_types",
    "elasticity",
    "flops_profiler",
    "pipeline",
    "tensorboard",
    "torch_autocast",
    "wandb",
)
"""Keys whose value DeepSpeed reads as a mapping: anything else would replace all that we set there."""

_ABSENT: Final = object()


def uses_deepspeed(distributed: DistributedSpec, ranks: int) -> bool:
    """Whether DeepSpeed holds the weights and the optimizer: not for a single rank that shares, offloads and
    configures nothing, unless `distributed.engine` says so."""
    if distributed.engine != "auto":
        return distributed.engine == "deepspeed"
    plain = distributed.stage_of_zero == 0 and distributed.offload.optimizer == "none"
    return ranks > 1 or not plain or distributed.deepspeed_config is not None


@dataclass(frozen=True)
class Contradiction:
    """A key of the raw configuration that says something else than the spec, or nothing that can be read."""

    key: str
    """Dotted, within distributed.deepspeedConfig."""

    found: JsonValue
    message: str
    remedy: str


def contradictions(
    spec: FineTuneJobSpec, ranks: int, precision: Literal["fp32", "bf16", "fp16"] | None
) -> Iterator[Contradiction]:
    """What is wrong with `distributed.deepspeedConfig` for `ranks` ranks.

    `precision` is the arithmetic that runs, None while the device, which decides it, is not known.
    """
    raw = spec.distributed.deepspeed_config or {}
    for key, (field, value) in _decided(spec, ranks, precision).items():
        found = _at(raw, key)
        if found is not _ABSENT and found != AUTO and not _same(found, value):
            yield Contradiction(
                key,
                found,
                f"contradicts {field} = {value}" if value is not None else f"{field} decides this",
                f"Remove it, write auto, or change {field}",
            )
    for key in ("optimizer", "scheduler"):
        if raw.get(key, AUTO) != AUTO:
            yield Contradiction(
                key,
                None,
                "the optimizer and the schedule come from the spec",
                "Remove it and use training.optimizer and training.schedule",
            )
    for key in SECTIONS:
        found = raw.get(key, AUTO)
        if found != AUTO and not isinstance(found, Mapping):
            yield Contradiction(
                key, found, "is a section of settings, which a mapping gives", "Write a mapping, or remove it"
            )


Offloaded = Literal["offload_optimizer", "offload_param"]
OFFLOADED: Final[tuple[Offloaded, ...]] = get_args(Offloaded)


def offloads(distributed: DistributedSpec, key: Offloaded) -> bool:
    """Whether this is kept in the host's memory or on its disks: what the raw configuration says is merged
    over the spec."""
    ours = distributed.offload.optimizer if key == "offload_optimizer" else distributed.offload.parameters
    zero = (distributed.deepspeed_config or {}).get("zero_optimization")
    raw = zero.get(key, AUTO) if isinstance(zero, dict) else AUTO
    device = raw.get("device", ours) if isinstance(raw, dict) else ours if raw == AUTO else "none"
    return device in ("cpu", "nvme")


def _decided(
    spec: FineTuneJobSpec, ranks: int, precision: Literal["fp32", "bf16", "fp16"] | None
) -> dict[str, tuple[str, JsonValue]]:
    """The field that decides a key, and its value; None where only the device will tell."""
    micro, steps = spec.training.sequences_per_pass, spec.training.gradient_accumulation_steps

    def enabled(name: str) -> JsonValue:
        return None if precision is None else precision == name

    return {
        "train_micro_batch_size_per_gpu": ("training.microBatchSize", micro),
        "gradient_accumulation_steps": ("training.gradientAccumulationSteps", steps),
        "train_batch_size": (
            "training.microBatchSize × gradientAccumulationSteps × ranks",
            micro * steps * ranks,
        ),
        "gradient_clipping": ("training.maxGradNorm", spec.training.max_grad_norm),
        "zero_optimization.stage": ("distributed.zeroStage", spec.distributed.stage_of_zero),
        "bf16": ("training.precision", _section(enabled("bf16"))),
        "fp16": ("training.precision", _section(enabled("fp16"))),
    }


def _section(enabled: JsonValue) -> JsonValue:
    return None if enabled is None else {"enabled": enabled}


def _same(found: Any, value: JsonValue) -> bool:
    """Whether it repeats our value; true is no 1 here."""
    return value is not None and found == value and isinstance(found, bool) == isinstance(value, bool)


def _at(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value
