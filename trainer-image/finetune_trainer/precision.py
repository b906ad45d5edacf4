"""Arithmetic and device: what the spec asks for against what is there."""

import torch

from finetune_api.resolved import ResolvedJob
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import InvalidConfigError

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_device(job: ResolvedJob) -> None:
    """Raises `InvalidConfigError` when the job asks for accelerators that this process does not see."""
    if job.device != "cuda":
        return
    seen = torch.cuda.device_count()
    if seen < job.processes_per_node:
        accelerators = job.spec.resources.accelerators
        raise InvalidConfigError(
            f"resources.accelerators.perNode: {accelerators.per_node} of {accelerators.resource_name} for "
            f"{job.processes_per_node} ranks, but this node shows {seen} CUDA devices. Check that the node's "
            "device plugin and driver work (nvidia-smi in a pod), or set perNode: 0 to train on CPU"
        )


def effective_precision(job: ResolvedJob) -> Precision:
    """The arithmetic that really runs. Raises `InvalidConfigError` for one that the device does not have."""
    asked = job.spec.training.precision
    cuda = job.device == "cuda"
    if asked == "auto":
        if not cuda:
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if asked in {"tf32", "fp16"} and not cuda:
        raise InvalidConfigError(
            f"training.precision: {asked} needs an NVIDIA GPU, and this job runs on CPU. Use auto, fp32 or "
            "bf16"
        )
    if asked == "bf16" and cuda and not torch.cuda.is_bf16_supported():
        raise InvalidConfigError("training.precision: bf16 is not in this GPU's arithmetic. Use auto or fp16")
    return "fp32" if asked == "tf32" else asked
