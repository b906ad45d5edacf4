"""Qwen's table of memory and speed: LoRA, Q-LoRA, and LoRA with both embeddings trained too. Sizes in GiB."""

from typing import Any, Final

from measurement import QWEN_SIZES, QWENS, Measurement, architecture, lora

from finetune_api.estimate.program import Program

SOURCES: Final = {
    "Qwen LoRA": "QwenLM/Qwen README, Profiling of Memory and Speed, one A100 80 GB, batch 1, accumulation 8",
    "Qwen Q-LoRA": "the same table, GPTQ int4 bases under DeepSpeed, a loss in 16 bit",
    "Qwen LoRA, embeddings": "the same table, both embeddings trained too (in its words, LoRA (emb))",
}
TIME_SOURCES: Final = {"Time, Qwen LoRA, embeddings": "QwenLM/Qwen README, the runs above"}

LENGTHS: Final = (256, 512, 1024, 2048, 4096, 8192)
TARGETS: Final = ["c_attn", "c_proj", "w1", "gate_proj"]
"""Those of finetune.py, whose w2 is our gate_proj; c_proj is in attention and in the feed-forward block."""
QUANTIZED: Final = Program(loss_bytes=2, unpacked_kept=True)
"""Under DeepSpeed's fp16, Qwen's own modelling code leaves the loss in 16 bit; AutoGPTQ's layers."""
_ADAPTERS: Final = lora(64, TARGETS)
_PLAIN: Final[dict[str, Any]] = _ADAPTERS | {"training.precision": "bf16"}
_WITH_EMBEDDINGS: Final[dict[str, Any]] = {
    "method.lora": _ADAPTERS["method.lora"] | {"modulesToSave": ["embed_tokens", "lm_head"]},
    "training.precision": "bf16",
}
_INT4: Final[dict[str, Any]] = _ADAPTERS | {
    "quantization.type": "int4",
    "distributed.engine": "deepspeed",
    "distributed.zeroStage": 2,
    "training.precision": "fp16",
}


def _rows(
    group: str,
    method: str,
    changes: dict[str, Any],
    program: Program,
    rows: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...],
) -> list[Measurement]:
    return [
        Measurement(
            group,
            f"Qwen-{size} {method}, {length} tokens",
            changes
            | {
                "model": {"config": architecture("qwen2", *QWEN_SIZES[size])},
                "training.gradientAccumulationSteps": 8,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
            },
            gib,
            "device",
            program=program,
            family="qwen",
            seconds_per_step=seconds,
        )
        for size, memory, times in rows
        for length, gib, seconds in zip(LENGTHS, memory, times, strict=True)
    ]


MEASUREMENTS: Final = (
    *_rows(
        "Qwen LoRA",
        "LoRA",
        _PLAIN,
        QWENS,
        (
            ("1.8B", (6.7, 7.4, 8.4, 11.0, 16.2, 21.8), (1.0, 1.0, 1.1, 1.7, 3.3, 6.8)),
            ("7B", (20.1, 20.4, 21.5, 23.8, 29.7, 36.6), (1.2, 1.5, 2.8, 5.2, 10.1, 21.3)),
            ("14B", (34.6, 35.1, 35.3, 37.4, 42.5, 55.2), (1.6, 2.4, 4.4, 8.4, 17.0, 36.0)),
        ),
    ),
    *_rows(
        "Qwen Q-LoRA",
        "Q-LoRA",
        _INT4,
        QUANTIZED,
        (
            ("1.8B", (5.8, 6.0, 6.6, 7.8, 10.2, 15.8), (1.4, 1.4, 1.4, 2.0, 3.4, 6.5)),
            ("7B", (11.5, 11.5, 12.3, 13.9, 16.9, 23.5), (3.0, 3.0, 3.5, 7.0, 11.6, 22.3)),
            ("14B", (18.7, 18.4, 18.9, 19.9, 23.0, 27.9), (5.3, 6.3, 8.2, 11.8, 20.1, 38.3)),
            ("72B", (61.4, 61.4, 62.9, 64.1, 68.0, 75.6), (27.4, 31.5, 41.4, 59.5, 97.7, 179.8)),
        ),
    ),
    *_rows(
        "Qwen LoRA, embeddings",
        "LoRA (emb)",
        _WITH_EMBEDDINGS,
        QWENS,
        (
            ("1.8B", (13.7, 14.0, 14.0, 15.1, 19.7, 27.7), (1.0, 1.0, 1.1, 1.8, 3.4, 7.0)),
            ("7B", (33.7, 34.1, 35.2, 35.1, 39.2, 48.5), (1.4, 1.6, 2.9, 5.3, 10.3, 21.7)),
            ("14B", (51.2, 51.1, 51.5, 54.1, 56.8, 67.7), (1.7, 2.6, 4.6, 8.6, 17.2, 36.3)),
        ),
    ),
)
