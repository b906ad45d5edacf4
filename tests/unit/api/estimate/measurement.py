"""One row of a published table of memory, and what several tables share."""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from finetune_api.estimate.program import TRAINER, Program

GB: Final = 1e9 / 2**30
LITGPT: Final = Program(autocasting=False, narrow_adapters=True, one_kernel_activation=True)
"""litgpt in 16 bit (`bf16-true`)."""
LITGPT_LONGEST_FIRST: Final = replace(LITGPT, quantized_inputs_kept=True, longest_first=True)
"""litgpt of 2023 in 4 bit: the longest record of Alpaca makes the first batch."""
LITGPT_RECIPES: Final = replace(LITGPT, quantized_inputs_kept=True, graph_held=True)
"""litgpt of 2024 in 4 bit: every batch is as long as it may be, and the logits of the last are a variable."""
Q_V: Final = ["q_proj", "v_proj"]
QWENS: Final = Program(shifted_logits=True, wide_saved_modules=False, step_tensors=2)
"""Qwen's own modelling code and finetune.py, with PyTorch 2.0 and PEFT of 2023."""
QWEN_SIZES: Final = {
    "1.8B": (2048, 24, 5504, 151936),
    "7B": (4096, 32, 11008, 151936),
    "14B": (5120, 40, 13696, 152064),
    "72B": (8192, 80, 24576, 152064),
}
"""Width, layers, feed-forward width and vocabulary of Qwen's first models."""


@dataclass(frozen=True)
class Measurement:
    """One row of a published table."""

    group: str
    name: str
    changes: dict[str, Any]
    """The job, as values by field path."""
    gib: float
    figure: Literal["device", "reserved", "allocated"]
    """What was measured: `device` is what `nvidia-smi` shows for the device, `reserved` torch's
    `max_memory_reserved`, `allocated` its `max_memory_allocated`."""
    accelerator: str = "a100-80gb"
    program: Program = TRAINER
    """What the measured program does otherwise than our trainer."""
    seconds_per_step: float | None = None
    family: str | None = None
    """Family of the architecture, where the API has no name for it."""
    capacity_gib: float | None = None
    """Memory of the device, where it is not the accelerator's: what has no use is given back at its end."""


def lora(rank: int, targets: list[str], dropout: float = 0.05) -> dict[str, Any]:
    """A job's changes for adapters of this rank on these layers."""
    return {"method.lora": {"rank": rank, "targetModules": targets, "dropout": dropout}}


def architecture(name: str, hidden: int, layers: int, feed_forward: int, vocabulary: int) -> dict[str, Any]:
    """`model.config` of a decoder without grouped heads, each 128 wide."""
    return {
        "architecture": name,
        "hiddenSize": hidden,
        "layers": layers,
        "attentionHeads": hidden // 128,
        "intermediateSize": feed_forward,
        "vocabSize": vocabulary,
        "maxPositionEmbeddings": 32768,
        "tieWordEmbeddings": False,
    }
