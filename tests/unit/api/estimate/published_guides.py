"""Figures from the guides and examples of programs that people start with, several devices and offload among
them. Predicted before anything was changed; `docs/estimates.md` says what was. Sizes in GiB.
"""

from typing import Any, Final, Literal

from measurement import GB, Q_V, Measurement, lora

from finetune_api.estimate.program import Program

SOURCES: Final = {
    "Axolotl's examples": "axolotl-ai-cloud/axolotl, examples: VRAM that a config uses (2025), QLoRA",
    "PEFT's ZeRO-3 guide": "huggingface/peft, docs/source/accelerate/deepspeed.md (2024): Llama 2 70B",
    "ZeRO stages": "gist of chenyaofo (2024): LLaMA 7B, 4,096 tokens, 8 A800, DeepSpeed 0.14.2",
    "torchtune, LoRA": "pytorch/torchtune README of 2024-04, one RTX 4090: the row without compile",
    "fms-acceleration, Liger, more, allocated": "the same as above, refs/a100_80gb_liger.csv, full and 4 bit",
    "fms-acceleration, Liger, more, device": "the same runs",
}

ALL: Final = ["all-linear"]
OWN_KERNELS: Final = Program(activation_fused=False)
"""Liger's loss, and norms and rotations by kernels of its own."""
OUTPUTS_HELD: Final = Program(outputs_held=True, wide_outputs=True)
"""A loop whose outputs are a variable: what it holds between steps grows by 4 bytes per token and word."""
TORCHTUNE: Final = Program(autocasting=False, narrow_adapters=True)
_MISTRAL_24B: Final = {
    "architecture": "mistral",
    "hiddenSize": 5120,
    "layers": 40,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "headDimension": 128,
    "intermediateSize": 32768,
    "vocabSize": 131072,
    "maxPositionEmbeddings": 131072,
    "tieWordEmbeddings": False,
}
"""Devstral and Magistral Small."""
_SEED_36B: Final = _MISTRAL_24B | {
    "architecture": "qwen2",
    "layers": 64,
    "attentionHeads": 80,
    "intermediateSize": 27648,
    "vocabSize": 155136,
}
"""ByteDance's Seed-OSS, whose layers are built as Qwen 2's."""


def _axolotl() -> list[Measurement]:
    """Rank 32 on all layers, two packed sequences of 2,048 tokens, checkpointing, flash attention; what PEFT
    casts to fp32 is cast back to bf16. A fused loss (Apple's) but for the oldest, which API's `unsloth`
    stands for: it leaves the layers alone."""
    rows: tuple[tuple[str, Any, float, str, str, float], ...] = (
        ("Seed-OSS-36B", {"config": _SEED_36B}, 0.05, "adamw8bit", "unsloth", 27.7),
        ("Devstral-Small 24B", {"config": _MISTRAL_24B}, 0.0, "adamw", "unsloth", 21.0),
        ("Magistral-Small-2506", {"config": _MISTRAL_24B}, 0.05, "adamw8bit", "none", 24.0),
        ("Magistral-Small-2507", {"config": _MISTRAL_24B}, 0.05, "adamw8bit", "unsloth", 19.1),
        ("Plano-Orchestrator-4B", {"id": "Qwen/Qwen3-4B"}, 0.05, "adamw8bit", "unsloth", 5.1),
    )
    return [
        Measurement(
            "Axolotl's examples",
            f"{name} QLoRA, 2 × 2048",
            lora(32, ALL, dropout)
            | {
                "model": model | {"kernels": kernels, "loadPrecision": "bf16"},
                "method.type": "qlora",
                "quantization.type": "nf4",
                "dataset.packing": True,
                "training.precision": "bf16",
                "training.optimizer": optimizer,
                "training.microBatchSize": 2,
                "training.gradientAccumulationSteps": 4,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": 2048,
            },
            gib,
            "reserved",
        )
        for name, model, dropout, optimizer, kernels, gib in rows
    ]


def _peft() -> list[Measurement]:
    """Rank 8 on all layers, packed sequences of 2,048 tokens, checkpointing, flash attention."""
    common = lora(8, ALL, 0.1) | {
        "model.id": "meta-llama/Llama-2-70b-hf",
        "distributed.zeroStage": 3,
        "dataset.packing": True,
        "training.precision": "bf16",
        "training.gradientCheckpointing": "full",
        "training.maxSequenceLength": 2048,
    }
    plain = {"resources.accelerators.perNode": 8, "training.microBatchSize": 8}
    quantized = {
        "method.type": "qlora",
        "quantization.type": "nf4",
        "model.loadPrecision": "bf16",
        "resources.accelerators.perNode": 2,
        "training.microBatchSize": 2,
        "training.gradientAccumulationSteps": 2,
    }
    return [
        Measurement(
            "PEFT's ZeRO-3 guide", "Llama-2-70b LoRA, 8 × H100", common | plain, 64.0, "device", "h100-80gb"
        ),
        Measurement(
            "PEFT's ZeRO-3 guide",
            "Llama-2-70b QLoRA, 2 × A100",
            common | quantized,
            36.6,
            "device",
            "a100-40gb",
        ),
    ]


def _stages() -> list[Measurement]:
    """Full fine-tuning in bf16, 64 sequences per step; what `max_memory_allocated` says. The row that
    offloads parameters is left out: its logits alone would be two thirds of what it shows."""
    optimizer = {"distributed.offload": {"optimizer": "cpu"}}
    rows: tuple[tuple[int, str, int, dict[str, Any], float], ...] = (
        (2, "none", 1, {}, 44.8),
        (2, "full", 1, {}, 23.5),
        (2, "full", 1, optimizer, 16.9),
        (2, "full", 4, {}, 38.6),
        (3, "none", 2, {}, 75.7),
        (3, "full", 2, {}, 20.4),
        (3, "full", 2, optimizer, 9.4),
        (3, "full", 8, {}, 39.1),
    )
    return [
        Measurement(
            "ZeRO stages",
            f"ZeRO-{stage}, {'checkpointing, ' if checkpointing == 'full' else ''}"
            f"{'offload, ' if offload else ''}{batch} × 4096",
            {
                "model.id": "meta-llama/Llama-2-7b-hf",
                "method.type": "full",
                "resources.accelerators.perNode": 8,
                "distributed.zeroStage": stage,
                "dataset.packing": True,
                "training.precision": "bf16",
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 8 // batch,
                "training.gradientCheckpointing": checkpointing,
                "training.maxSequenceLength": 4096,
            }
            | offload,
            gib,
            "allocated",
            program=OUTPUTS_HELD,
        )
        for stage, checkpointing, batch, offload, gib in rows
    ]


def _torchtune() -> Measurement:
    """Llama 2 7B in bf16, rank 8 on queries and values, four sequences of 2,048 tokens, checkpointing; GB of
    10⁹ bytes that torch reserved, as its page of the month before says."""
    changes = lora(8, Q_V, 0.0) | {
        "model.id": "meta-llama/Llama-2-7b-hf",
        "model.loadPrecision": "bf16",
        "dataset.packing": True,
        "training.precision": "bf16",
        "training.microBatchSize": 4,
        "training.gradientAccumulationSteps": 1,
        "training.gradientCheckpointing": "full",
        "training.maxSequenceLength": 2048,
    }
    return Measurement(
        "torchtune, LoRA",
        "Llama-2-7b LoRA, 4 × 2048",
        changes,
        21.3 * GB,
        "reserved",
        "rtx4090",
        TORCHTUNE,
        seconds_per_step=4 * 2048 / 2582,
    )


def _fms() -> list[Measurement]:
    """Transformers' Trainer in bf16 with Liger's loss on Llama 3 8B, packed sequences of 4,096 tokens,
    checkpointing; 4 bit with double quantization, left in 16 bit, whose adapters are fused as unsloth's."""
    full = {"method.type": "full"}
    quantized = lora(16, ["q_proj", "k_proj", "v_proj", "o_proj"], 0.1) | {
        "method.type": "qlora",
        "quantization": {"type": "nf4", "doubleQuantization": True},
    }
    rows: tuple[tuple[str, dict[str, Any], int, int, int, float], ...] = (
        ("full", full, 4, 80_318_097_408, 77_537, 3288.3),
        ("full", full, 8, 80_318_490_624, 79_881, 3408.7),
        ("QLoRA in 16 bit", quantized, 4, 14_411_297_792, 15_527, 4009.2),
        ("QLoRA in 16 bit", quantized, 8, 22_936_744_960, 24_359, 4105.0),
        ("QLoRA in 16 bit", quantized, 16, 39_987_639_296, 42_409, 4140.2),
        ("QLoRA in 16 bit", quantized, 32, 74_089_427_968, 78_505, 4160.0),
    )
    figures: tuple[Literal["allocated", "device"], ...] = ("allocated", "device")
    return [
        Measurement(
            f"fms-acceleration, Liger, more, {figure}",
            f"Meta-Llama-3-8B {name}, {batch} × 4096",
            {
                "model.id": "meta-llama/Meta-Llama-3-8B",
                "model.loadPrecision": "bf16",
                "model.kernels": "liger",
                "training.precision": "bf16",
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 1,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": 4096,
            }
            | changes,
            allocated / 2**30 if figure == "allocated" else device / 1024,
            figure,
            program=OWN_KERNELS,
            seconds_per_step=batch * 4096 / tokens_per_second,
        )
        for figure in figures
        for name, changes, batch, allocated, device, tokens_per_second in rows
    ]


MEASUREMENTS: Final = (*_axolotl(), *_peft(), *_stages(), _torchtune(), *_fms())
