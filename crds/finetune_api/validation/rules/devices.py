"""Rules about attention, kernels and arithmetic that not every device has."""

import re
from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning

FLASH: Final = ("flash_attention_2", "flash_attention_3")
SINGLE: Final = ("fp32", "tf32")
TRITON_KERNELS: Final = ("liger", "unsloth")

BEFORE_AMPERE: Final = re.compile(r"(?i)(.*[-_ ])?(k80|m60|p4|p40|p100|v100|t4)([-_ ].*)?")
"""Names of NVIDIA accelerators older than Ampere: no bf16, no tf32, no flash attention."""


def devices(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Attention, kernels and precision that the device has."""
    spec = job.spec
    if spec.resources.accelerators.per_node == 0:
        yield from _on_cpu(job)
        return
    if spec.model.attention in FLASH and spec.training.precision in SINGLE:
        yield error(
            Code.CONFLICT,
            "model.attention",
            f"computes in 16 bit only, and training.precision is {spec.training.precision}",
            "Use training.precision auto or bf16, or model.attention auto",
            spec.model.attention,
        )
    kind = spec.resources.accelerators.type
    if kind is None or not BEFORE_AMPERE.fullmatch(kind):
        return
    if spec.model.attention in FLASH:
        yield error(
            Code.DEVICE_MISMATCH,
            "model.attention",
            f"needs an accelerator of the Ampere generation or newer, and {kind} is older",
            "Use model.attention auto or sdpa",
            spec.model.attention,
        )
    if spec.training.precision in ("bf16", "tf32"):
        yield warning(
            Code.PRECISION_DEVICE_MISMATCH,
            "training.precision",
            f"needs an accelerator of the Ampere generation or newer, and {kind} is older",
            "Use training.precision auto or fp16",
            spec.training.precision,
        )


def _on_cpu(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    if spec.training.precision in ("fp16", "tf32"):
        yield error(
            Code.PRECISION_DEVICE_MISMATCH,
            "training.precision",
            "needs an accelerator, and resources.accelerators.perNode is 0",
            "Use auto, fp32 or bf16, or ask for accelerators",
            spec.training.precision,
        )
    if spec.model.attention in FLASH:
        yield error(
            Code.DEVICE_MISMATCH,
            "model.attention",
            "needs an accelerator, and resources.accelerators.perNode is 0",
            "Use model.attention auto or sdpa, or ask for accelerators",
            spec.model.attention,
        )
    if spec.model.attention == "flex_attention":
        yield error(
            Code.DEVICE_MISMATCH,
            "model.attention",
            "has no gradient on a CPU in PyTorch, and resources.accelerators.perNode is 0",
            "Use model.attention auto or sdpa, or ask for accelerators",
            spec.model.attention,
        )
    if spec.training.optimizer.startswith("paged"):
        yield error(
            Code.DEVICE_MISMATCH,
            "training.optimizer",
            "pages its state between the memories of GPU and host, and resources.accelerators.perNode is 0",
            "Use training.optimizer adamw or adamw8bit, or ask for accelerators",
            spec.training.optimizer,
        )
    if spec.model.kernels in TRITON_KERNELS:
        yield error(
            Code.DEVICE_MISMATCH,
            "model.kernels",
            "needs an accelerator, and resources.accelerators.perNode is 0",
            "Use model.kernels none or auto, or ask for accelerators",
            spec.model.kernels,
        )
