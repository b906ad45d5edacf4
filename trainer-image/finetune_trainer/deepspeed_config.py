"""The DeepSpeed configuration of a job. Pure."""

from typing import Literal

from pydantic import JsonValue

from finetune_api.deepspeed import AUTO, OFFLOAD_OPTIMIZERS, contradictions, offloads
from finetune_api.distributed import DistributedSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.errors import InvalidConfigError

Precision = Literal["fp32", "bf16", "fp16"]
JsonObject = dict[str, JsonValue]


def deepspeed_config(job: ResolvedJob, precision: Precision) -> JsonObject:
    """DeepSpeed's configuration for a job that uses it.

    The optimizer is made by transformers from the spec and handed over: DeepSpeed replaces it only for CPU
    offload, and then by its own AdamW, which is why nothing but AdamW may be offloaded. Raises
    `InvalidConfigError`.
    """
    spec, training = job.spec.distributed, job.spec.training
    for found in contradictions(job.spec, job.world_size, precision):
        shown = "" if found.found is None else f" {found.found}"
        raise InvalidConfigError(
            f"distributed.deepspeedConfig.{found.key}:{shown} {found.message}. {found.remedy}"
        )
    offloaded = offloads(spec, "offload_optimizer")
    if offloaded and training.optimizer not in OFFLOAD_OPTIMIZERS:
        raise InvalidConfigError(
            f"offloading it would replace training.optimizer: {training.optimizer} by DeepSpeed's AdamW. "
            "Use training.optimizer: adamw, or offload.optimizer: none (also in deepspeedConfig)"
        )
    config: JsonObject = {
        "train_micro_batch_size_per_gpu": training.sequences_per_pass,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": _zero(spec),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": offloaded,
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16", "initial_scale_power": 16},
        "steps_per_print": 2**31 - 1,
        "wall_clock_breakdown": False,
    }
    return _merged(config, spec.deepspeed_config or {})


def _zero(spec: DistributedSpec) -> JsonObject:
    zero: JsonObject = {"stage": spec.stage_of_zero}
    if spec.stage_of_zero >= 1:
        zero |= {
            "overlap_comm": False,
            "contiguous_gradients": True,
            "reduce_scatter": spec.stage_of_zero >= 2,
        }
    if spec.offload.optimizer == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
    if spec.stage_of_zero == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        if spec.offload.parameters == "cpu":
            zero["offload_param"] = {"device": "cpu", "pin_memory": False}
    return zero


def _merged(config: JsonObject, raw: JsonObject) -> JsonObject:
    """Our configuration with the expert's over it; `auto` leaves a key to us."""
    result = dict(config)
    for key, value in raw.items():
        ours = config.get(key)
        if isinstance(value, dict) and isinstance(ours, dict):
            result[key] = _merged(ours, value)
        elif value != AUTO:
            result[key] = value
    return result
