"""Tables that were found last, of guides and benchmarks of 2024 and 2025. Predicted before anything was
changed; `docs/estimates.md` says what was. Sizes in GiB.
"""

from typing import Any, Final

from measurement import Measurement, lora
from timing import Timing

from finetune_api.estimate.program import Program

SOURCES: Final = {
    "Axolotl's examples, others": "axolotl-ai-cloud/axolotl, examples/apertus and gpt-oss (2025)",
    "LLMs-from-scratch": "rasbt/LLMs-from-scratch, ch05/10_llm-training-speed (2025): GPT-2 124M, one A100",
}
TIME_SOURCES: Final = {
    "Time, L4 guide": "P. Schmid, How to fine-tune open LLMs in 2025 with Hugging Face: Llama 3.1 8B on L4",
    "Time, XTuner": "InternLM/xtuner, docs/zh_cn/acceleration/benchmark.rst (2024): 8 A100 80 GB, ZeRO-3",
    "Time, LLMs-from-scratch": "the run above",
}

ALL: Final = ["all-linear"]
ATTENTION: Final = ["q_proj", "k_proj", "v_proj", "o_proj"]
TRL: Final = Program(narrow_adapters=True)
"""TRL's SFTTrainer casts what is trained beside a 4-bit base to bf16."""
LOOP: Final = Program(autocasting=False)
"""A loop of one's own in one type, which lets the logits go."""
NARROW_LOOP: Final = Program(autocasting=False, loss_bytes=2, one_kernel_activation=True)
"""The same in bf16, the loss too, with torch's GELU."""

_APERTUS_8B: Final = {
    "architecture": "qwen3",
    "hiddenSize": 4096,
    "layers": 32,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "intermediateSize": 14336,
    "vocabSize": 131072,
    "maxPositionEmbeddings": 65536,
    "tieWordEmbeddings": False,
}
"""Two matrices of 21,504 channels are counted as three of two thirds of that."""
_GPT_OSS_20B: Final = {
    "architecture": "mixtral",
    "hiddenSize": 2880,
    "layers": 24,
    "attentionHeads": 64,
    "keyValueHeads": 8,
    "headDimension": 64,
    "intermediateSize": 2880,
    "experts": 32,
    "expertsPerToken": 4,
    "vocabSize": 201088,
    "maxPositionEmbeddings": 131072,
    "tieWordEmbeddings": False,
}
_GPT2: Final = {
    "architecture": "gpt2",
    "hiddenSize": 768,
    "layers": 12,
    "attentionHeads": 12,
    "vocabSize": 50257,
    "maxPositionEmbeddings": 1024,
    "tieWordEmbeddings": False,
    "dropout": 0.1,
}
_LLAMA_2_7B: Final = {
    "architecture": "llama",
    "hiddenSize": 4096,
    "layers": 32,
    "attentionHeads": 32,
    "intermediateSize": 11008,
    "vocabSize": 32000,
    "tieWordEmbeddings": False,
}


def _axolotl() -> list[Measurement]:
    """Packed sequences, checkpointing, flash attention, a fused loss, which API's `unsloth` stands for; of
    gpt-oss, whose experts are dequantized, attention alone has adapters."""
    common = {
        "dataset.packing": True,
        "training.precision": "bf16",
        "training.optimizer": "adamw8bit",
        "training.gradientCheckpointing": "full",
    }
    quantized = {
        "model": {"config": _APERTUS_8B, "kernels": "unsloth", "loadPrecision": "bf16"},
        "method.type": "qlora",
        "quantization.type": "nf4",
        "training.microBatchSize": 2,
        "training.gradientAccumulationSteps": 4,
        "training.maxSequenceLength": 2048,
    }
    experts = {
        "model": {"config": _GPT_OSS_20B, "kernels": "unsloth", "loadPrecision": "bf16"},
        "training.microBatchSize": 1,
        "training.gradientAccumulationSteps": 8,
        "training.maxSequenceLength": 4096,
    }
    group = "Axolotl's examples, others"
    return [
        Measurement(
            group, "Apertus-8B QLoRA, 2 × 2048", lora(32, ALL, 0.05) | common | quantized, 8.7, "reserved"
        ),
        Measurement(
            group, "gpt-oss-20b LoRA, 1 × 4096", lora(8, ATTENTION, 0.0) | common | experts, 44.0, "reserved"
        ),
    ]


def _loop(attention: str, precision: str) -> dict[str, Any]:
    return {
        "model": {"config": _GPT2, "attention": attention, "loadPrecision": precision},
        "method.type": "full",
        "dataset.packing": True,
        "training.precision": precision,
        "training.optimizer": "adamw" if precision == "fp32" else "adamwFused",
        "training.microBatchSize": 8,
        "training.gradientAccumulationSteps": 1,
        "training.maxSequenceLength": 1024,
    }


def _from_scratch() -> list[Measurement]:
    group = "LLMs-from-scratch"
    return [
        Measurement(group, "GPT-2 eager, fp32", _loop("eager", "fp32"), 26.26, "reserved", "a100-40gb", LOOP),
        Measurement(
            group, "GPT-2 fused, bf16", _loop("auto", "bf16"), 5.9, "reserved", "a100-40gb", NARROW_LOOP
        ),
    ]


def _guide() -> list[Timing]:
    """Adapters of rank 16 on all layers, and both embeddings trained; packed sequences of 1,024 tokens,
    checkpointing, flash attention; ZeRO-3 on several devices. The row without flash attention is left out,
    since it does not say which attention it had instead."""
    rows: tuple[tuple[str, int, int, int, int, int, str], ...] = (
        ("QLoRA, 2 × 1024", 1, 2, 4, 676, 220, "none"),
        ("QLoRA, 4 × 1024, Liger", 1, 4, 4, 338, 135, "liger"),
        ("QLoRA, 4 devices, 8 × 1024, Liger", 4, 8, 2, 84, 33, "liger"),
        ("QLoRA, 8 devices, 8 × 1024, Liger", 8, 8, 2, 42, 18, "liger"),
        ("Spectrum, 8 devices, 8 × 1024, Liger", 8, 8, 2, 42, 21, "liger"),
    )
    made = []
    for name, devices, micro, accumulation, steps, minutes, kernels in rows:
        quantized = {
            "method.type": "qlora",
            "method.lora": {"rank": 16, "modulesToSave": ["lm_head", "embed_tokens"]},
            "quantization.type": "nf4",
        }
        spectrum = {"method": {"type": "spectrum", "spectrum": {"topFraction": 0.3}}}
        changes = {
            **(spectrum if name.startswith("Spectrum") else quantized),
            "model": {"id": "meta-llama/Llama-3.1-8B", "kernels": kernels, "loadPrecision": "bf16"},
            "dataset.packing": True,
            "training.precision": "bf16",
            "training.microBatchSize": micro,
            "training.gradientAccumulationSteps": accumulation,
            "training.gradientCheckpointing": "full",
            "training.maxSequenceLength": 1024,
            "resources.accelerators.perNode": devices,
            "distributed.zeroStage": 3,
        }
        made.append(Timing("Time, L4 guide", name, changes, 60 * minutes / steps, 1024, "l4", TRL))
    return made


def _xtuner() -> list[Timing]:
    """Llama 2 7B in full on one node, a packed sequence on each device, checkpointing."""
    return [
        Timing(
            "Time, XTuner",
            f"7B, 1 × {length}",
            {
                "model": {"config": _LLAMA_2_7B | {"maxPositionEmbeddings": length}},
                "method.type": "full",
                "dataset.packing": True,
                "training.precision": "fp16",
                "training.microBatchSize": 1,
                "training.gradientAccumulationSteps": 1,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
                "resources.accelerators.perNode": 8,
                "distributed.zeroStage": 3,
            },
            length / speed,
            length,
            "a100-80gb",
        )
        for length, speed in ((8192, 3028.3), (32768, 2234.2))
    ]


MEASUREMENTS: Final = (*_axolotl(), *_from_scratch())
TIMINGS: Final = (
    *_guide(),
    *_xtuner(),
    Timing(
        "Time, LLMs-from-scratch",
        "GPT-2 eager, fp32",
        _loop("eager", "fp32"),
        8 * 1024 / 12_525,
        1024,
        "a100-40gb",
        LOOP,
    ),
)
