"""Measurements that others have published, as jobs of ours, with the place where each was read.

`figure` says what was measured: `device` is what `nvidia-smi` shows for the device, `allocated` is
torch's `max_memory_allocated`. Sizes in GiB; where a table says GB of 10⁹ bytes, it was converted.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

GB: Final = 1e9 / 2**30


@dataclass(frozen=True)
class Measurement:
    """One row of a published table."""

    group: str
    name: str
    changes: dict[str, Any]
    """The job, as values by field path."""
    gib: float
    figure: Literal["device", "allocated"]
    devices: int = 1
    seconds_per_step: float | None = None


SOURCES: Final = {
    "litgpt 16-bit": "Lightning-AI/litgpt, tutorials/resource-tables.md (2023-10-20), one A100 40 GB",
    "litgpt 4-bit": "the same table; bitsandbytes 0.41 kept the inputs of quantized layers, today's does not",
    "LLaMA-Factory": "hiyouga/LLaMA-Factory wiki, Performance comparison (2024-04), A100 40 GB; whole GB",
    "Qwen LoRA": "QwenLM/Qwen README, Profiling of Memory and Speed, one A100 80 GB, batch 1, accumulation 8",
    "Qwen Q-LoRA": "the same table, GPTQ int4 bases",
}

Q_V: Final = ["q_proj", "v_proj"]
QWEN_TARGETS: Final = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"]
LENGTHS: Final = (256, 512, 1024, 2048, 4096, 8192)


def _lora(rank: int, targets: list[str], dropout: float = 0.05) -> dict[str, Any]:
    return {"method.lora": {"rank": rank, "targetModules": targets, "dropout": dropout}}


def _litgpt() -> list[Measurement]:
    rows = (
        ("microsoft/phi-1_5", 1044, ((1, "none", 4.82), (2, "none", 6.76), (4, "none", 10.68))),
        ("microsoft/phi-1_5", 1044, ((1, "nf4", 3.78), (1, "nf4-dq", 3.72))),
        ("meta-llama/Llama-2-7b-hf", 1304, ((1, "none", 21.30), (2, "none", 29.07))),
        ("meta-llama/Llama-2-7b-hf", 1304, ((1, "nf4", 14.14), (1, "nf4-dq", 13.84))),
        ("meta-llama/Llama-2-13b-hf", 1304, ((1, "none", 38.12), (1, "nf4", 23.14), (1, "nf4-dq", 22.55))),
    )
    return [
        Measurement(
            "litgpt 16-bit" if base == "none" else "litgpt 4-bit",
            f"{model.partition('/')[2]} LoRA {base}, batch {batch}",
            _lora(8, Q_V)
            | {
                "model.id": model,
                "model.loadPrecision": "bf16",
                "quantization": {"type": base.partition("-")[0], "doubleQuantization": base == "nf4-dq"},
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 128 // batch,
                "training.maxSequenceLength": length,
            },
            gigabytes * GB,
            "allocated",
        )
        for model, length, measured in rows
        for batch, base, gigabytes in measured
    ]


def _llama_factory() -> list[Measurement]:
    qlora = _lora(8, ["all-linear"], 0.0) | {
        "model.id": "meta-llama/Llama-2-7b-hf",
        "method.type": "qlora",
        "quantization.type": "nf4",
        "training.gradientAccumulationSteps": 4,
        "training.gradientCheckpointing": "full",
    }
    plain = qlora | {"method.type": "lora", "quantization.type": "none", "training.microBatchSize": 4}
    return [
        Measurement(
            "LLaMA-Factory",
            f"Llama-2-7b QLoRA, {length} tokens",
            qlora | {"training.maxSequenceLength": length},
            gib,
            "device",
        )
        for length, gib in ((1024, 6), (2048, 7), (4096, 9), (8192, 12), (16384, 19), (32768, 32))
    ] + [
        Measurement(
            "LLaMA-Factory",
            "Llama-2-7b LoRA, batch 4",
            plain | {"training.maxSequenceLength": 1024, "training.gradientAccumulationSteps": 2},
            17,
            "device",
        )
    ]


def _qwen() -> list[Measurement]:
    sizes = {
        "1.8B": (2048, 24, 5504, 151936),
        "7B": (4096, 32, 11008, 151936),
        "14B": (5120, 40, 13696, 152064),
        "72B": (8192, 80, 24576, 152064),
    }
    rows = (
        ("1.8B", "none", (6.7, 7.4, 8.4, 11.0, 16.2, 21.8), (1.0, 1.0, 1.1, 1.7, 3.3, 6.8)),
        ("7B", "none", (20.1, 20.4, 21.5, 23.8, 29.7, 36.6), (1.2, 1.5, 2.8, 5.2, 10.1, 21.3)),
        ("14B", "none", (34.6, 35.1, 35.3, 37.4, 42.5, 55.2), (1.6, 2.4, 4.4, 8.4, 17.0, 36.0)),
        ("1.8B", "int4", (5.8, 6.0, 6.6, 7.8, 10.2, 15.8), (1.4, 1.4, 1.4, 2.0, 3.4, 6.5)),
        ("7B", "int4", (11.5, 11.5, 12.3, 13.9, 16.9, 23.5), (3.0, 3.0, 3.5, 7.0, 11.6, 22.3)),
        ("14B", "int4", (18.7, 18.4, 18.9, 19.9, 23.0, 27.9), (5.3, 6.3, 8.2, 11.8, 20.1, 38.3)),
        ("72B", "int4", (61.4, 61.4, 62.9, 64.1, 68.0, 75.6), (27.4, 31.5, 41.4, 59.5, 97.7, 179.8)),
    )
    return [
        Measurement(
            "Qwen LoRA" if base == "none" else "Qwen Q-LoRA",
            f"Qwen-{size} {'LoRA' if base == 'none' else 'Q-LoRA'}, {length} tokens",
            _lora(64, QWEN_TARGETS)
            | {
                "model": {"config": _architecture(*sizes[size])},
                "quantization.type": base,
                "training.gradientAccumulationSteps": 8,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
            },
            gib,
            "device",
            seconds_per_step=seconds,
        )
        for size, base, memory, times in rows
        for length, gib, seconds in zip(LENGTHS, memory, times, strict=True)
    ]


def _architecture(hidden: int, layers: int, feed_forward: int, vocabulary: int) -> dict[str, Any]:
    return {
        "architecture": "qwen2",
        "hiddenSize": hidden,
        "layers": layers,
        "attentionHeads": hidden // 128,
        "intermediateSize": feed_forward,
        "vocabSize": vocabulary,
        "maxPositionEmbeddings": 32768,
        "tieWordEmbeddings": False,
    }


MEASUREMENTS: Final = (*_litgpt(), *_llama_factory(), *_qwen())
