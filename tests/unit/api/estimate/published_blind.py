"""Tables that were predicted before the formulas of this version were touched; `docs/estimates.md` says what
was changed after that, and what the first errors were. Sizes in GiB.
"""

from typing import Any, Final, Literal

from measurement import GB, LITGPT_LONGEST_FIRST, Q_V, Measurement, lora

from finetune_api.estimate.program import TRAINER, Program

SOURCES: Final = {
    "litgpt, Raschka": "S. Raschka, Finetuning LLMs with LoRA and QLoRA (Lightning AI, 2023-10), one A100",
    "PowerLM, allocated": "foundation-model-stack/fms-acceleration, refs/a100_80gb_granite.csv (2024-09)",
    "PowerLM, device": "the same runs",
    "fms, new dependencies, allocated": "the same, a100_80gb_update_cross_entropy_and_deps.csv (2024-11)",
    "fms, new dependencies, device": "the same runs",
}

ALL: Final = ["all-linear"]
NO_AUTOCAST: Final = Program(autocasting=False)
"""Transformers' Trainer without `bf16=True`, on a model in bf16."""
POWER_LM: Final = {
    "architecture": "llama",
    "hiddenSize": 2304,
    "layers": 40,
    "attentionHeads": 36,
    "keyValueHeads": 36,
    "intermediateSize": 9216,
    "vocabSize": 49152,
    "maxPositionEmbeddings": 4096,
    "tieWordEmbeddings": True,
}
"""ibm/PowerLM-3b, whose Granite is Llama with factors."""


def _raschka() -> list[Measurement]:
    """Llama 2 7B in `bf16-true` on Alpaca, one sequence; what litgpt prints of `max_memory_allocated`."""
    rows = (
        ("LoRA rank 8, q v", lora(8, Q_V), "none", 21.33),
        ("QLoRA rank 8, q v", lora(8, Q_V), "nf4", 14.18),
        ("QLoRA rank 8, all", lora(8, ALL), "nf4", 16.42),
        ("QLoRA rank 16, all", lora(16, ALL), "nf4", 16.47),
        ("QLoRA rank 256, all", lora(256, ALL), "nf4", 17.86),
    )
    return [
        Measurement(
            "litgpt, Raschka",
            name,
            adapters
            | {
                "model.id": "meta-llama/Llama-2-7b-hf",
                "model.loadPrecision": "bf16",
                "quantization": {"type": base, "doubleQuantization": False},
                "training.gradientAccumulationSteps": 128,
                "training.maxSequenceLength": 1304,
            },
            gigabytes * GB,
            "allocated",
            "a100-40gb",
            TRAINER if base == "none" else LITGPT_LONGEST_FIRST,
        )
        for name, adapters, base, gigabytes in rows
    ]


def _fms() -> list[Measurement]:
    """Transformers' Trainer, packed sequences of 4,096 tokens, checkpointing, flash attention, one A100; 4
    bit with double quantization under autocast, once as PEFT prepares it and once left in 16 bit."""
    granite, mistral = {"config": POWER_LM}, "mistralai/Mistral-7B-v0.1"
    full = {"method.type": "full", "model.loadPrecision": "bf16"}
    adapters = lora(16, ["q_proj", "k_proj", "v_proj", "o_proj"], 0.1)
    plain = adapters | {"model.loadPrecision": "bf16"}
    quantized = adapters | {
        "method.type": "qlora",
        "quantization": {"type": "nf4", "doubleQuantization": True},
    }
    narrow = quantized | {"model.loadPrecision": "bf16"}
    rows: tuple[tuple[str, dict[str, Any], Any, int, int, int, float], ...] = (
        ("full", full, granite, 4, 35_134_836_736, 47_683, 5077.1),
        ("full", full, granite, 8, 47_059_390_976, 52_927, 5209.1),
        ("LoRA", plain, granite, 4, 20_193_463_808, 24_383, 5269.6),
        ("LoRA", plain, granite, 8, 33_176_473_088, 41_093, 5354.6),
        ("QLoRA", quantized, granite, 4, 18_174_161_920, 23_127, 4187.1),
        ("QLoRA", quantized, granite, 8, 34_177_070_080, 43_327, 4309.5),
        ("QLoRA in 16 bit", narrow, granite, 4, 15_151_677_952, 19_379, 5523.0),
        ("QLoRA in 16 bit", narrow, granite, 8, 28_134_687_232, 35_837, 5656.9),
        ("full", full, mistral, 4, 72_434_837_504, 77_256, 3062.7),
        ("full", full, mistral, 8, 72_435_230_720, 72_988, 3143.1),
        ("LoRA", plain, mistral, 4, 26_704_571_904, 29_576, 3324.2),
        ("LoRA", plain, mistral, 8, 38_742_912_512, 43_232, 3353.8),
        ("QLoRA in 16 bit", narrow, mistral, 4, 16_373_838_336, 19_912, 3595.7),
        ("QLoRA in 16 bit", narrow, mistral, 8, 28_412_178_944, 34_016, 3662.6),
        ("QLoRA in 16 bit", narrow, "meta-llama/Llama-2-70b-hf", 4, 68_126_381_056, 72_950, 464.4),
    )
    figures: tuple[Literal["allocated", "device"], ...] = ("allocated", "device")
    return [
        Measurement(
            f"{'PowerLM' if model is granite else 'fms, new dependencies'}, {figure}",
            f"{'PowerLM-3b' if model is granite else model.partition('/')[2]} {name}, {batch} × 4096",
            {
                ("model" if model is granite else "model.id"): model,
                "training.precision": "bf16",
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 1,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": 4096,
            }
            | changes,
            allocated / 2**30 if figure == "allocated" else device / 1024,
            figure,
            program=TRAINER if "quantization" in changes else NO_AUTOCAST,
            seconds_per_step=batch * 4096 / tokens_per_second,
        )
        for figure in figures
        for name, changes, model, batch, allocated, device, tokens_per_second in rows
    ]


MEASUREMENTS: Final = (*_raschka(), *_fms())
