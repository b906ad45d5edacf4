"""Tables that were read last, of examples and comparisons. Predicted before anything was changed;
`docs/estimates.md` says what was. Sizes in GiB.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from measurement import Measurement, lora

from finetune_api.estimate.program import Program

SOURCES: Final = {
    "torchtune, loss in chunks": "pytorch/torchtune README (2024-09), one RTX 4090; compiled",
    "Axolotl's examples, more": "axolotl-ai-cloud/axolotl, examples/llama-2 (2023-10) and ministral (2025)",
}

ALL: Final = ["all-linear"]
TORCHTUNE: Final = Program(autocasting=False, narrow_adapters=True)
_MINISTRAL_8B: Final = {
    "architecture": "mistral",
    "hiddenSize": 4096,
    "layers": 36,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "headDimension": 128,
    "intermediateSize": 12288,
    "vocabSize": 131072,
    "maxPositionEmbeddings": 32768,
    "tieWordEmbeddings": False,
}


def _torchtune() -> list[Measurement]:
    """Llama 3.1 8B in bf16, rank 8 on queries, values and the output, two packed sequences of 2,048 tokens,
    checkpointing. Its loss takes the logits in chunks, which the API's `unsloth` stands for."""
    common = lora(8, ["q_proj", "v_proj", "o_proj"], 0.0) | {
        "model.id": "meta-llama/Llama-3.1-8B",
        "model.loadPrecision": "bf16",
        "model.kernels": "unsloth",
        "dataset.packing": True,
        "training.precision": "bf16",
        "training.optimizer": "adamwFused",
        "training.microBatchSize": 2,
        "training.gradientAccumulationSteps": 1,
        "training.gradientCheckpointing": "full",
        "training.maxSequenceLength": 2048,
    }
    quantized = {"method.type": "qlora", "quantization.type": "nf4"}
    rows: tuple[tuple[str, dict[str, Any], float], ...] = (("LoRA", {}, 16.2), ("QLoRA", quantized, 7.4))
    return [
        Measurement(
            "torchtune, loss in chunks",
            f"Llama-3.1-8B {name}, 2 × 2048",
            common | changes,
            gib,
            "allocated",
            "rtx4090",
            TORCHTUNE,
        )
        for name, changes, gib in rows
    ]


def _axolotl() -> list[Measurement]:
    """Rank 32 on all layers, two packed sequences, checkpointing, flash attention; what PEFT casts to fp32 is
    cast back to bf16. Ministral with a fused loss (Apple's), which the API's `unsloth` stands for."""
    llama, ministral = {"id": "meta-llama/Llama-2-7b-hf"}, {"config": _MINISTRAL_8B}
    rows: tuple[tuple[str, dict[str, Any], str, str, str, int, float, Literal["device", "reserved"]], ...] = (
        ("Llama-2-7b QLoRA", llama, "none", "nf4", "pagedAdamw", 4096, 17, "device"),
        ("Llama-2-7b LoRA int8", llama, "none", "int8", "adamw8bit", 4096, 20, "device"),
        ("Ministral-8B QLoRA", ministral, "unsloth", "nf4", "adamw8bit", 2048, 8.76, "reserved"),
    )
    return [
        Measurement(
            "Axolotl's examples, more",
            f"{name}, 2 × {length}",
            lora(32, ALL, 0.05)
            | {
                "model": model | {"kernels": kernels, "loadPrecision": "bf16"},
                "method.type": "qlora" if quantization == "nf4" else "lora",
                "quantization.type": quantization,
                "dataset.packing": True,
                "training.precision": "bf16",
                "training.optimizer": optimizer,
                "training.microBatchSize": 2,
                "training.gradientAccumulationSteps": 4,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
            },
            gib,
            figure,
            "rtx4090",
        )
        for name, model, kernels, quantization, optimizer, length, gib, figure in rows
    ]


MEASUREMENTS: Final = (*_torchtune(), *_axolotl())


@dataclass(frozen=True)
class Trial:
    """A run that fitted or did not."""

    table: str
    accelerator: str
    changes: dict[str, Any]
    fitted: bool


TRIAL_SOURCES: Final = {
    "QLoRA's announcement": "huggingface/blog, 4bit-transformers-bitsandbytes.md (2023-05), one T4",
    "H2O LLM Studio": "h2oai/h2o-llmstudio, llm-studio-performance.md (2024), A10G and A100 80 GB",
}


def _announcement() -> list[Trial]:
    """LLaMA with TRL's SFTTrainer, one record padded to its length, fp16, eager attention; the rows of 4 bit
    that differ in the arithmetic's type are one here. Then what its text says: 33 and 65 billion weights fit
    24 and 48 GB, with the paper's paged optimizer and rank 64 on all layers."""
    rows = (
        ("7b", "int8", True, 512, True),
        ("7b", "int8", True, 1024, False),
        ("7b", "nf4", False, 512, True),
        ("7b", "fp4", False, 512, True),
        ("7b", "nf4", False, 1024, False),
        ("7b", "fp4", False, 1024, False),
        ("7b", "nf4", True, 1024, True),
        ("13b", "int8", True, 512, False),
        ("13b", "fp4", False, 512, False),
        ("13b", "nf4", True, 512, True),
        ("13b", "nf4", True, 1024, False),
        ("13b", "nf4-dq", True, 1024, True),
    )
    larger = [
        Trial(
            "QLoRA's announcement",
            accelerator,
            lora(64, ALL)
            | {
                "model": {"config": {"architecture": "llama", "vocabSize": 32000} | sizes},
                "method.type": "qlora",
                "quantization": {"type": "nf4", "doubleQuantization": True},
                "training.precision": "bf16",
                "training.optimizer": "pagedAdamw",
                "training.microBatchSize": 1,
                "training.gradientAccumulationSteps": 16,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": 512,
            },
            fitted=True,
        )
        for accelerator, sizes in (
            (
                "rtx3090",
                {"hiddenSize": 6656, "layers": 60, "attentionHeads": 52, "intermediateSize": 17920},
            ),
            ("a6000", {"hiddenSize": 8192, "layers": 80, "attentionHeads": 64, "intermediateSize": 22016}),
        )
    ]
    return larger + [
        Trial(
            "QLoRA's announcement",
            "t4",
            lora(64, ["q_proj", "v_proj"], 0.1)
            | {
                "model": {"id": f"meta-llama/Llama-2-{size}-hf", "attention": "eager"},
                "method.type": "lora" if base == "int8" else "qlora",
                "quantization": {"type": base.partition("-")[0], "doubleQuantization": base == "nf4-dq"},
                "training.precision": "fp16",
                "training.microBatchSize": 1,
                "training.gradientAccumulationSteps": 4,
                "training.gradientCheckpointing": "full" if checkpointing else "none",
                "training.maxSequenceLength": length,
            },
            fitted,
        )
        for size, base, checkpointing, length, fitted in rows
    ]


H2O_SECONDS: Final = {
    ("a100-80gb", "7b", "none"): {1: 1416, 2: 794, 4: 424},
    ("a100-80gb", "7b", "nf4"): {1: 2046, 2: 1114, 4: 584},
    ("a100-80gb", "13b", "none"): {1: 2350, 2: 1314, 4: 706},
    ("a100-80gb", "13b", "nf4"): {1: 3551, 2: 1925, 4: 1011},
    ("a100-80gb", "70b", "nf4"): {1: 15837, 2: 8444, 4: 4413},
    ("a10g", "7b", "none"): {1: 5129, 2: 2224, 4: 1273, 8: 695},
    ("a10g", "7b", "nf4"): {1: 5219, 2: 2904, 4: 1615, 8: 866},
    ("a10g", "13b", "none"): dict.fromkeys((1, 2, 4, 8)),
    ("a10g", "13b", "nf4"): {1: 9876, 2: 5445, 4: 2923, 8: 1507},
    ("a10g", "70b", "nf4"): dict.fromkeys((1, 2, 4, 8)),
}
"""Seconds of training by device, model and base, and by how many devices; None where there was no memory."""
H2O_LENGTH: Final = 256.0
"""Tokens of its mean record, which its page does not say: half of what a record may have."""


def h2o_job(size: str, base: str, devices: int) -> dict[str, Any]:
    """Llama 2 with PEFT, rank 4 on all layers, two records of up to 512 tokens, checkpointing, DDP."""
    return lora(4, ALL) | {
        "model.id": f"meta-llama/Llama-2-{size}-hf",
        "method.type": "qlora" if base == "nf4" else "lora",
        "quantization.type": base,
        "distributed.engine": "torch",
        "resources.accelerators.perNode": devices,
        "training.precision": "bf16",
        "training.microBatchSize": 2,
        "training.gradientAccumulationSteps": 1,
        "training.gradientCheckpointing": "full",
        "training.maxSequenceLength": 512,
    }


def _h2o() -> list[Trial]:
    return [
        Trial("H2O LLM Studio", accelerator, h2o_job(size, base, devices), seconds is not None)
        for (accelerator, size, base), runs in H2O_SECONDS.items()
        for devices, seconds in runs.items()
    ]


TRIALS: Final = (*_announcement(), *_h2o())
