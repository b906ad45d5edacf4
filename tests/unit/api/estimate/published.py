"""Measurements that others have published, as jobs of ours, with the place where each was read.

The tables that formulas were found with, and those that they were checked against first; `published_later`
has those that were opened last. Sizes in GiB; where a table says GB of 10⁹ bytes, it was converted.
"""

from typing import Final, Literal

from measurement import GB, LITGPT, LITGPT_LONGEST_FIRST, Q_V, Measurement, lora
from programs import PLAIN_LOOP
from published_blind import MEASUREMENTS as BLIND
from published_blind import SOURCES as BLIND_SOURCES
from published_examples import MEASUREMENTS as EXAMPLES
from published_examples import SOURCES as EXAMPLES_SOURCES
from published_fresh import MEASUREMENTS as FRESH
from published_fresh import SOURCES as FRESH_SOURCES
from published_guides import MEASUREMENTS as GUIDES
from published_guides import SOURCES as GUIDES_SOURCES
from published_later import MEASUREMENTS as LATER
from published_later import SOURCES as LATER_SOURCES
from published_qwen import MEASUREMENTS as QWEN
from published_qwen import SOURCES as QWEN_SOURCES
from published_search import MEASUREMENTS as SEARCH
from published_search import SOURCES as SEARCH_SOURCES
from published_t4 import RANK_16, RANK_32, T4Run

_FIRST_SOURCES: Final = {
    "T4, allocated": "fitcheck-llm 0.3.1, data/measurements, sessions of 2026-09-15 and 16, rank 32",
    "T4, device": "the same runs",
    "T4 rank 16, allocated": "fitcheck-llm 0.3.1, data/measurements, session of 2026-09-21: its hold-out",
    "T4 rank 16, device": "the same runs",
    "PEFT": "huggingface/peft, method_comparison/MetaMathQA/results (2025-06 to 2026-01), one L40S",
    "Unsloth's comparison": "unslothai/unsloth README: longest context of Hugging Face with FA2 (2025)",
    "litgpt 16-bit": "Lightning-AI/litgpt, tutorials/resource-tables.md (2023-10-20), one A100 40 GB",
    "litgpt 4-bit": "the same table; bitsandbytes 0.41 kept the inputs of quantized layers, today's does not",
    "LLaMA-Factory": "hiyouga/LLaMA-Factory wiki, Performance comparison (2024-04), A100 40 GB; whole GB",
}
OWN_SOURCES: Final = _FIRST_SOURCES | QWEN_SOURCES
FOUND_LATER: Final = (
    LATER_SOURCES | BLIND_SOURCES | GUIDES_SOURCES | EXAMPLES_SOURCES | FRESH_SOURCES | SEARCH_SOURCES
)
SOURCES: Final = OWN_SOURCES | FOUND_LATER
_DECIDED: Final = (
    "fms-acceleration, Liger, allocated",
    "fms-acceleration, Liger, device",
    "litgpt's recipes, 4-bit",
    "litgpt, Raschka",
    "PEFT's ZeRO-3 guide",
    "fms-acceleration, Liger, more, device",
    "PowerLM, device",
    "swift, full",
    "ZeRO stages",
    "torchtune, loss in chunks",
    "fms-acceleration, Liger, more, allocated",
    "LLMs-from-scratch",
    "torchtune, step in the backward pass",
)
"""What showed that Liger replaces more than the loss, what litgpt's 4-bit runs hold at their peak, that a
quantized base is whole on each device before ZeRO-3 shares it out, how much an A100's context holds, that
optimizer states take the blocks of the first loss, that a loop holds its outputs, that a loss in chunks needs
no logits, that a fused loss's blocks are gone when a layer needs its own, and what dropout keeps."""
HELD_OUT: Final = (
    "T4 rank 16, allocated",
    "PEFT",
    *(name for name in FOUND_LATER if name not in _DECIDED),
)
"""Tables that no formula and no constant was chosen with."""
BEYOND_THE_AIM: Final = ("Vertex", "Axolotl's examples, more")
"""Of these, measured with libraries of 2023, which held more than today's and than the pages say."""

OLDER: Final = (
    "litgpt 16-bit",
    "litgpt 4-bit",
    "LLaMA-Factory",
    "Qwen LoRA",
    "Qwen Q-LoRA",
    "Qwen LoRA, embeddings",
    "litgpt's recipes",
    "litgpt's recipes, 4-bit",
    "swift, full",
    "Vertex",
    "litgpt, Raschka",
    "Axolotl's examples, more",
)
"""Tables of 2023 and the first months of 2024, most of them with libraries that held more than today's."""

TODAY: Final = (
    "T4, device",
    "T4 rank 16, device",
    "PEFT",
    "Unsloth's comparison",
    "swift, full",
    "fms-acceleration, device",
    "fms-acceleration, Liger, device",
    "PowerLM, device",
    "fms, new dependencies, device",
    "Axolotl's examples",
    "PEFT's ZeRO-3 guide",
    "torchtune, LoRA",
    "fms-acceleration, Liger, more, device",
    "Axolotl's examples, others",
    "IBM ado",
    "Answer.AI",
)
"""Tables of libraries from 2024 on that show the device's memory, or what torch reserved of it."""


def _t4(
    group: str, rank: int, runs: tuple[T4Run, ...], figure: Literal["allocated", "device"]
) -> list[Measurement]:
    return [
        Measurement(
            f"{group}, {figure}",
            f"{run.model.partition('/')[2]} {run.quantization} {run.attention}, {run.batch} × {run.length}",
            lora(rank, ["q_proj", "k_proj", "v_proj", "o_proj"], 0.0)
            | {
                "model.id": run.model,
                "model.attention": run.attention,
                "quantization": {"type": run.quantization, "doubleQuantization": False},
                "training.microBatchSize": run.batch,
                "training.gradientAccumulationSteps": 1,
                "training.maxSequenceLength": run.length,
                "training.gradientCheckpointing": "full",
            },
            (run.allocated if figure == "allocated" else run.device) / 1024,
            figure,
            accelerator="t4",
            program=PLAIN_LOOP,
        )
        for run in runs
    ]


def _peft() -> list[Measurement]:
    """Llama-3.2-3B in bf16, batch 4, records of up to 768 tokens; `accelerator_memory_max`."""
    common = {
        "model.id": "meta-llama/Llama-3.2-3B",
        "model.loadPrecision": "bf16",
        "training.microBatchSize": 4,
        "training.gradientAccumulationSteps": 1,
        "training.maxSequenceLength": 768,
    }
    rows = (
        ("LoRA rank 32, q v", lora(32, Q_V, 0.0), 22_273_851_392),
        ("LoRA rank 64, q v", lora(64, Q_V, 0.0), 22_540_189_696),
        ("DoRA rank 32, q v", lora(32, Q_V, 0.0) | {"method.type": "dora"}, 24_540_872_704),
        ("LoRA rank 10, MLP", lora(10, ["gate_proj", "up_proj", "down_proj"], 0.0), 24_712_839_168),
        ("full fine-tuning", {"method.type": "full"}, 37_241_225_216),
    )
    return [
        Measurement("PEFT", name, common | changes, size / 2**30, "reserved", "l40s", PLAIN_LOOP)
        for name, changes, size in rows
    ]


def _unsloth() -> list[Measurement]:
    """The longest context of Hugging Face's stack by memory of the device: 4-bit QLoRA of rank 32 on all
    linear layers, batch 1."""
    rows = ((12, 932), (16, 2551), (24, 5789), (40, 12264), (48, 15502), (80, 28454))
    models = [("meta-llama/Llama-3.1-8B", gib, length) for gib, length in rows]
    return [
        Measurement(
            "Unsloth's comparison",
            f"{model.partition('/')[2]} QLoRA, {length} tokens",
            lora(32, ["all-linear"], 0.0)
            | {
                "model.id": model,
                "method.type": "qlora",
                "quantization.type": "nf4",
                "training.gradientAccumulationSteps": 4,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
            },
            gib,
            "device",
            capacity_gib=gib,
        )
        for model, gib, length in (*models, ("meta-llama/Llama-3.3-70B-Instruct", 80, 6916))
    ]


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
            lora(8, Q_V)
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
            program=LITGPT if base == "none" else LITGPT_LONGEST_FIRST,
        )
        for model, length, measured in rows
        for batch, base, gigabytes in measured
    ]


def _llama_factory() -> list[Measurement]:
    qlora = lora(8, ["all-linear"], 0.0) | {
        "model.id": "meta-llama/Llama-2-7b-hf",
        "method.type": "qlora",
        "quantization.type": "nf4",
        "model.loadPrecision": "bf16",
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


_ALL: Final = (
    *_t4("T4", 32, RANK_32, "allocated"),
    *_t4("T4", 32, RANK_32, "device"),
    *_t4("T4 rank 16", 16, RANK_16, "allocated"),
    *_t4("T4 rank 16", 16, RANK_16, "device"),
    *_peft(),
    *_unsloth(),
    *_litgpt(),
    *_llama_factory(),
    *QWEN,
    *LATER,
    *BLIND,
    *GUIDES,
    *EXAMPLES,
    *FRESH,
    *SEARCH,
)
MEASUREMENTS: Final = tuple(sorted(_ALL, key=lambda row: list(SOURCES).index(row.group)))
