"""Arithmetic and device: what the spec asks for against what is there."""

import re

import torch

from finetune_api.resolved import ResolvedJob
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.distributed import local_rank
from finetune_trainer.errors import InvalidConfigError

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def take_device(job: ResolvedJob) -> None:
    """Makes this rank's GPU the one that is meant by `cuda`. Call it before anything else asks CUDA, which
    would set up a context of every rank on the first GPU.

    Raises `InvalidConfigError` when the job asks for accelerators that this process does not see, that
    PyTorch has no code for, or whose driver is too old for PyTorch's CUDA.
    """
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
    try:
        torch.cuda.set_device(local_rank())
    except RuntimeError as error:
        # NVML counts the GPUs of a driver that CUDA itself refuses
        if "too old" not in str(error):
            raise
        raise InvalidConfigError(
            f"resources.accelerators: this node's NVIDIA driver is too old for CUDA {torch.version.cuda}, "
            "which this image's PyTorch is built for. Use nodes with a newer one (resources.nodeSelector; "
            "docs/operating.md says which), or an image with another PyTorch (resources.image)"
        ) from error
    found, oldest = torch.cuda.get_device_capability(), _oldest_capability()
    if found < oldest:
        raise InvalidConfigError(
            f"resources.accelerators: {torch.cuda.get_device_name()} has compute capability "
            f"{_dotted(found)}, and this image's PyTorch is built for {_dotted(oldest)} and newer. Use a "
            "newer GPU (resources.nodeSelector), or an image with another PyTorch (resources.image)"
        )


def effective_precision(job: ResolvedJob) -> Precision:
    """The arithmetic that really runs. Raises `InvalidConfigError` for one that the device does not have."""
    asked = job.spec.training.precision
    cuda = job.device == "cuda"
    if asked == "auto":
        if not cuda:
            return "fp32"
        return "bf16" if _computes_in_bf16() else "fp16"
    if asked in {"tf32", "fp16"} and not cuda:
        raise InvalidConfigError(
            f"training.precision: {asked} needs an NVIDIA GPU, and this job runs on CPU. Use auto, fp32 or "
            "bf16"
        )
    if asked in {"bf16", "tf32"} and cuda and not _computes_in_bf16():
        raise InvalidConfigError(
            f"training.precision: {asked} is not in this GPU's arithmetic. Use auto or fp16"
        )
    return "fp32" if asked == "tf32" else asked


def arithmetic(device: torch.device, precision: Precision) -> torch.autocast:
    """That of the run, for passes beside it: what is trained has 32 bit on a model of 16,
    and flash attention takes no 32."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def multiply_in(asked: str) -> None:
    """Lets products of fp32 matrices be computed in tf32 if that is asked for, and in nothing less than fp32
    otherwise.

    Where a model is compiled, transformers and accelerate turn tf32 on by themselves, and transformers so
    that torch's own compiler can't read the setting any more: call it after they are set up.
    """
    torch.set_float32_matmul_precision("high" if asked == "tf32" else "highest")


def _computes_in_bf16() -> bool:
    """Whether the GPU does, as all do that have tf32; older ones only imitate it, many times slower."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _oldest_capability() -> tuple[int, int]:
    """The oldest compute capability that PyTorch was built for."""
    built = [match for name in torch.cuda.get_arch_list() if (match := re.match(r"sm_(\d+)(\d)", name))]
    return min(((int(each[1]), int(each[2])) for each in built), default=(0, 0))


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
