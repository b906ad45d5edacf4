"""Tables that were opened when every formula of memory stood: predicted first, and reported as they came out.

Nothing was changed for them but what `docs/estimates.md` says. Sizes in GiB.
"""

from typing import Any, Final, Literal

from measurement import GB, LITGPT, LITGPT_RECIPES, Q_V, QWEN_SIZES, Measurement, architecture, lora

from finetune_api.estimate.program import Program

SOURCES: Final = {
    "litgpt's recipes": "Lightning-AI/litgpt, config_hub/finetune/README.md (2024), one A10G; 512 tokens",
    "litgpt's recipes, 4-bit": "the same table, nf4 with bitsandbytes 0.42",
    "torchtune": "pytorch/torchtune README, Optimization flags (2024-12), A100: the row before compile",
    "swift, full": "modelscope/ms-swift, docs/source_en/LLM/Benchmark.md (2024-01), A100 80 GB",
    "fms-acceleration, allocated": "foundation-model-stack/fms-acceleration, references for A100 (2024)",
    "fms-acceleration, device": "the same runs",
    "fms-acceleration, Liger, allocated": "the same table, with Liger's kernels",
    "fms-acceleration, Liger, device": "the same runs",
    "Vertex": "GoogleCloudPlatform/vertex-ai-samples, benchmark report on OpenLLaMA 7B (2023), A100 40 GB",
}

ALL: Final = ["all-linear"]
LLAMA_2: Final = "meta-llama/Llama-2-7b-hf"
LLAMA_3: Final = "meta-llama/Meta-Llama-3-8B"
MISTRAL: Final = "mistralai/Mistral-7B-v0.1"
PHI_3: Final = "microsoft/Phi-3-mini-4k-instruct"
TINY_LLAMA: Final = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
NO_AUTOCAST: Final = Program(autocasting=False)
QWENS_MODEL: Final = Program(shifted_logits=True)
"""Qwen's own modelling code."""
OWN_KERNELS: Final = Program(activation_fused=False)
"""Liger's loss, and norms and rotations by kernels of its own."""


def _litgpt() -> list[Measurement]:
    """`bf16-true`, no checkpointing; GB of 10⁹ bytes of `max_memory_allocated`, as its scripts print them."""
    rows: tuple[tuple[str, dict[str, Any], str, int, float], ...] = (
        ("google/gemma-2b", lora(8, ALL, 0.1), "none", 2, 12.62),
        (LLAMA_2, lora(32, Q_V), "none", 2, 19.77),
        (LLAMA_3, lora(32, Q_V), "none", 1, 19.73),
        (MISTRAL, lora(32, Q_V), "none", 2, 20.66),
        ("microsoft/phi-2", lora(8, ALL), "none", 4, 13.98),
        (PHI_3, lora(8, ALL), "none", 4, 19.75),
        (TINY_LLAMA, lora(32, ALL), "none", 8, 13.50),
        (TINY_LLAMA, {"method.type": "full"}, "none", 4, 14.10),
        (LLAMA_2, lora(32, Q_V), "nf4", 2, 13.68),
        (LLAMA_3, lora(32, Q_V), "nf4", 2, 17.41),
        (MISTRAL, lora(32, Q_V), "nf4", 2, 14.29),
        ("microsoft/phi-2", lora(8, ALL), "nf4", 4, 14.27),
        (PHI_3, lora(8, ALL), "nf4", 4, 19.13),
        (TINY_LLAMA, lora(32, ALL), "nf4", 8, 16.24),
    )
    return [
        Measurement(
            "litgpt's recipes" if base == "none" else "litgpt's recipes, 4-bit",
            f"{model.partition('/')[2]} {method.get('method.type', 'LoRA')} {base}, {batch} × 512",
            method
            | {
                "model.id": model,
                "model.loadPrecision": "bf16",
                "quantization": {"type": base, "doubleQuantization": False},
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 8 // batch,
                "training.maxSequenceLength": 512,
            },
            gigabytes * GB,
            "allocated",
            accelerator="a10g",
            program=LITGPT if base == "none" else LITGPT_RECIPES,
        )
        for model, method, base, batch, gigabytes in rows
    ]


def _torchtune() -> Measurement:
    """Llama 3.2 3B in bf16, two packed sequences of 4,096 tokens; "peak memory active"."""
    changes: dict[str, Any] = {
        "model.id": "meta-llama/Llama-3.2-3B",
        "method.type": "full",
        "model.loadPrecision": "bf16",
        "training.optimizer": "adamwFused",
        "training.microBatchSize": 2,
        "training.gradientAccumulationSteps": 1,
        "training.maxSequenceLength": 4096,
    }
    seconds = 2 * 4096 / 7075
    return Measurement(
        "torchtune",
        "Llama-3.2-3B full, 2 × 4096",
        changes,
        60.0,
        "allocated",
        program=NO_AUTOCAST,
        seconds_per_step=seconds,
    )


def _swift() -> list[Measurement]:
    """Full fine-tuning in bf16, one sequence, checkpointing; torch's `max_memory_reserved`."""
    rows = (
        ("1.8B", 512, 18.16),
        ("1.8B", 1024, 18.62),
        ("7B", 512, 73.37),
        ("7B", 1024, 73.64),
        ("7B", 2048, 74.26),
    )
    return [
        Measurement(
            "swift, full",
            f"Qwen-{size} full, {length} tokens",
            {
                "model": {"config": architecture("qwen2", *QWEN_SIZES[size])},
                "method.type": "full",
                "model.loadPrecision": "bf16",
                "training.gradientAccumulationSteps": 16,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
            },
            gib,
            "reserved",
            program=QWENS_MODEL,
            family="qwen",
        )
        for size, length, gib in rows
    ]


def _fms() -> list[Measurement]:
    """Transformers' Trainer in fp16, packed sequences of 4,096 tokens, checkpointing, flash attention; 4 bit
    with double quantization, once as PEFT prepares it and once left in 16 bit. Llama in bf16 under autocast,
    with Liger's loss. The device's MiB are nvidia-smi's."""
    mistral, llama_70b = "mistralai/Mistral-7B-v0.1", "meta-llama/Llama-2-70b-hf"
    full = {"method.type": "full", "model.loadPrecision": "fp16"}
    adapters = lora(16, ["q_proj", "k_proj", "v_proj", "o_proj"], 0.0)
    plain = adapters | {"model.loadPrecision": "fp16"}
    quantized = adapters | {
        "method.type": "qlora",
        "quantization": {"type": "nf4", "doubleQuantization": True},
    }
    narrow = quantized | {"model.loadPrecision": "fp16"}
    liger = lora(16, ["q_proj", "k_proj", "v_proj", "o_proj"], 0.1) | {
        "model.kernels": "liger",
        "training.precision": "bf16",
    }
    rows: tuple[tuple[str, dict[str, Any], str, int, int, int, float], ...] = (
        ("full", full, mistral, 4, 72_971_724_288, 77_705, 2775.2),
        ("full", full, mistral, 8, 72_972_117_504, 74_383, 3048.6),
        ("LoRA", plain, mistral, 4, 26_108_963_328, 29_731, 3597.6),
        ("LoRA", plain, mistral, 8, 37_098_695_168, 43_195, 3632.4),
        ("QLoRA", quantized, mistral, 4, 22_825_932_800, 27_023, 2748.9),
        ("QLoRA", quantized, mistral, 8, 40_278_956_032, 47_145, 2880.9),
        ("QLoRA in 16 bit", narrow, mistral, 4, 15_860_019_712, 19_931, 3428.6),
        ("QLoRA in 16 bit", narrow, mistral, 8, 26_849_751_552, 34_355, 3514.4),
        ("QLoRA in 16 bit", narrow, llama_70b, 4, 68_159_977_472, 72_829, 457.1),
        ("LoRA", liger, LLAMA_3, 4, 24_905_936_896, 25_465, 3843.6),
        ("LoRA", liger, LLAMA_3, 8, 33_567_698_944, 34_681, 3878.7),
        ("LoRA", liger, LLAMA_3, 16, 50_891_223_040, 53_115, 3891.7),
    )
    figures: tuple[Literal["allocated", "device"], ...] = ("allocated", "device")
    return [
        Measurement(
            f"fms-acceleration, {'Liger, ' if changes is liger else ''}{figure}",
            f"{model.partition('/')[2]} {name}, {batch} × 4096",
            {
                "model.id": model,
                "training.precision": "fp16",
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
        for name, changes, model, batch, allocated, device, tokens_per_second in rows
    ]


def _vertex() -> list[Measurement]:
    """Batch 2, fp16, transformers before 4.36, whose Llama had no attention but the eager one; 4 bit with
    checkpointing, which PEFT's `prepare_model_for_kbit_training` turns on."""
    rows: tuple[tuple[Literal["none", "nf4"], int, int, float], ...] = (
        ("none", 16, 256, 20.5),
        ("none", 16, 512, 28.2),
        ("none", 4, 512, 28.0),
        ("none", 64, 512, 29.09),
        ("nf4", 16, 256, 6.94),
        ("nf4", 16, 512, 7.57),
        ("nf4", 16, 2048, 16.3),
    )
    return [
        Measurement(
            "Vertex",
            f"OpenLLaMA-7B {base}, rank {rank}, {length} tokens",
            lora(rank, ALL)
            | {
                "model": {"config": architecture("llama", 4096, 32, 11008, 32000), "attention": "eager"},
                "method.type": "lora" if base == "none" else "qlora",
                "quantization.type": base,
                "training.precision": "fp16",
                "training.microBatchSize": 2,
                "training.gradientAccumulationSteps": 1,
                "training.gradientCheckpointing": "none" if base == "none" else "full",
                "training.maxSequenceLength": length,
            },
            gib,
            "device",
            accelerator="a100-40gb",
        )
        for base, rank, length, gib in rows
    ]


MEASUREMENTS: Final = (*_litgpt(), _torchtune(), *_swift(), *_fms(), *_vertex())
