"""Times of training steps that others have published, as jobs of ours, with the place where each was read.

Rows of tables with hundreds were chosen before any was compared: one per model and length or so.
"""

from typing import Any, Final

from measurement import Measurement
from programs import FIRST_FLASH_ATTENTION
from published import MEASUREMENTS
from published_foundry import A100, A100_40, H100, MPT
from published_fresh import TIME_SOURCES as FRESH_SOURCES
from published_fresh import TIMINGS as FRESH
from published_qwen import TIME_SOURCES as QWEN_SOURCES
from published_search import TIME_SOURCES as SEARCH_SOURCES
from published_search import TIMINGS as SEARCH
from published_t4 import RANK_16, RANK_32
from timing import Timing

OWN_SOURCES: Final = {
    "Time, llm-foundry A100": "mosaicml/llm-foundry, scripts/train/benchmarking, A100 80 and 40 GB, FSDP",
    "Time, Qwen LoRA": "QwenLM/Qwen README, Profiling of Memory and Speed",
    "Time, llm-foundry H100": "mosaicml/llm-foundry, scripts/train/benchmarking, H100 80 GB BF16, FSDP",
    "Time, llm-foundry A100 40 GB, others": "the same page, the part that was not opened before",
    "Time, torchtitan": "pytorch/torchtitan, docs/performance.md, 64 A100 80 GB, full or no checkpointing",
    "Time, fms-fsdp": "foundation-model-stack/fms-fsdp README, 128 A100 and 96 H100",
    "Time, torchtune": "pytorch/torchtune README, Optimization flags (2024-12), A100: the row before compile",
    "Time, fms-acceleration": "foundation-model-stack/fms-acceleration, the runs above",
    "Time, fms-acceleration, Liger": "the same",
    "Time, PowerLM": "foundation-model-stack/fms-acceleration, refs/a100_80gb_granite.csv, the runs above",
    "Time, fms, new dependencies": "the same, refs/a100_80gb_update_cross_entropy_and_deps.csv",
    "Time, fms-acceleration, Liger, more": "the same, refs/a100_80gb_liger.csv, the runs above",
    "Time, torchtune, LoRA": "pytorch/torchtune README of 2024-04, one RTX 4090, the run above",
    "Time, accelerate's ZeRO-3": "huggingface/blog, deepspeed-to-fsdp-and-back (2024): Granite 7B, 4 A100",
    "Time, nanoGPT": "karpathy/nanoGPT README: an iteration of GPT-2 124M without compile, A100 40 GB",
    "Time, PEFT": "huggingface/peft, method_comparison/MetaMathQA/results: 250 steps of 4 records, one L40S",
    "Time, TinyLlama": "jzhang38/TinyLlama README (2023-09): 16 A100 40 GB, fused kernels, FSDP",
    "Time, T4 16 bit": "fitcheck-llm 0.3.1, the runs above",
    "Time, T4 4 bit": "the same",
}
SOURCES: Final = OWN_SOURCES | FRESH_SOURCES | QWEN_SOURCES | SEARCH_SOURCES
HELD_OUT: Final = (
    "Time, torchtitan",
    "Time, torchtune",
    "Time, fms-acceleration",
    "Time, PowerLM",
    "Time, fms, new dependencies",
    "Time, fms-acceleration, Liger, more",
    "Time, torchtune, LoRA",
    "Time, accelerate's ZeRO-3",
    "Time, TinyLlama",
    "Time, L4 guide",
    "Time, XTuner",
    "Time, VectorLM",
    "Time, InternEvo",
)
"""Tables that were looked at when every formula and constant stood."""


def _full(config: dict[str, Any], devices: int, micro: int, accumulation: int, length: int) -> dict[str, Any]:
    """A model that is trained in full under ZeRO-3, FSDP's likeness."""
    return {
        "model": {"config": config | {"maxPositionEmbeddings": length}},
        "method.type": "full",
        "training.precision": "bf16",
        "training.microBatchSize": micro,
        "training.gradientAccumulationSteps": accumulation,
        "training.maxSequenceLength": length,
        "distributed.nodes": devices // 8,
        "resources.accelerators.perNode": 8,
        "distributed.zeroStage": 3,
    }


def _llm_foundry(
    group: str, rows: tuple[tuple[str, str, int, int, int, int, bool, int], ...]
) -> list[Timing]:
    made = []
    for device, model, length, devices, micro, accumulation, checkpointing, speed in rows:
        hidden, layers = MPT[model]
        config = {
            "architecture": "gpt2",
            "hiddenSize": hidden,
            "layers": layers,
            "attentionHeads": hidden // (128 if hidden >= 2048 else 64),
            "intermediateSize": 4 * hidden,
            "vocabSize": 50368,
            "tieWordEmbeddings": True,
        }
        changes = _full(config, devices, micro, accumulation, length)
        changes["training.gradientCheckpointing"] = "full" if checkpointing else "none"
        seconds = micro * accumulation * length / speed
        name = f"{model}, {micro} × {length}, {devices} × {device}"
        made.append(Timing(group, name, changes, seconds, length, device, FIRST_FLASH_ATTENTION))
    return made


_LLAMAS: Final = {
    "7b": (4096, 32, 32, 32, 11008, 32000),
    "13b": (5120, 40, 40, 40, 13824, 32000),
    "34b": (8192, 48, 64, 8, 22016, 32000),
    "70b": (8192, 80, 64, 8, 28672, 32000),
    "3-70b": (8192, 80, 64, 8, 28672, 128256),
}
"""Width, layers, heads, key heads, feed-forward width and vocabulary."""


def _llamas() -> list[Timing]:
    fms, titan = "Time, fms-fsdp", "Time, torchtitan"
    rows = (
        (fms, "7b", "a100-80gb", 128, 2, 4096, "none", 3700),
        (fms, "34b", "a100-80gb", 128, 2, 4096, "full", 700),
        (fms, "7b", "h100-80gb", 96, 2, 4096, "none", 7500),
        (fms, "34b", "h100-80gb", 96, 2, 4096, "full", 1550),
        (titan, "13b", "a100-80gb", 64, 2, 4096, "none", 2162),
        (titan, "70b", "a100-80gb", 64, 2, 4096, "full", 353),
        (titan, "3-70b", "a100-80gb", 64, 1, 8192, "full", 331),
    )
    made = []
    for group, model, device, devices, micro, length, checkpointing, speed in rows:
        hidden, layers, heads, keys, feed_forward, vocabulary = _LLAMAS[model]
        config = {
            "architecture": "llama",
            "hiddenSize": hidden,
            "layers": layers,
            "attentionHeads": heads,
            "keyValueHeads": keys,
            "intermediateSize": feed_forward,
            "vocabSize": vocabulary,
            "tieWordEmbeddings": False,
        }
        changes = _full(config, devices, micro, 1, length)
        changes["training.gradientCheckpointing"] = checkpointing
        seconds = micro * length / speed
        made.append(Timing(group, f"{model} on {device}", changes, seconds, length, device))
    return made


def _as_timing(group: str, row: Measurement, seconds: float, length: float) -> Timing:
    return Timing(group, row.name, row.changes, seconds, length, row.accelerator, row.program, row.family)


def _measured_before() -> list[Timing]:
    """Times of the runs whose memory is compared as well."""
    peft = {
        "LoRA rank 32, q v": 0.1239,
        "DoRA rank 32, q v": 0.1432,
        "LoRA rank 10, MLP": 0.1454,
        "full fine-tuning": 0.3623,
    }
    made = [
        _as_timing(f"Time, {row.group}", row, row.seconds_per_step, row.changes["training.maxSequenceLength"])
        for row in MEASUREMENTS
        if row.group in ("Qwen LoRA", "Qwen LoRA, embeddings") and row.seconds_per_step
    ]
    tables = (
        "torchtune",
        "fms-acceleration, allocated",
        "fms-acceleration, Liger, allocated",
        "PowerLM, allocated",
        "fms, new dependencies, allocated",
        "torchtune, LoRA",
        "fms-acceleration, Liger, more, allocated",
    )
    made += [
        _as_timing(
            f"Time, {row.group.removesuffix(', allocated')}",
            row,
            row.seconds_per_step,
            row.changes["training.maxSequenceLength"],
        )
        for row in MEASUREMENTS
        if row.group in tables and row.seconds_per_step
    ]
    # 4,198,051 tokens in 5,000 steps of 4 records, in batches of about equal length.
    made += [
        _as_timing("Time, PEFT", row, peft[row.name], 4_198_051 / 20_000)
        for row in MEASUREMENTS
        if row.name in peft
    ]
    allocated = [row for row in MEASUREMENTS if row.group in ("T4, allocated", "T4 rank 16, allocated")]
    for row, run in zip(allocated, (*RANK_32, *RANK_16), strict=True):
        group = "Time, T4 16 bit" if run.quantization == "none" else "Time, T4 4 bit"
        made.append(_as_timing(group, row, run.seconds, run.length))
    return made


def _single_figures() -> list[Timing]:
    """Times that a page gives in one sentence: DeepSpeed's ZeRO-3 on four devices with checkpointing, the
    loop of nanoGPT, whose attention was the eager one and whose GELU is written as GPT-2's, and TinyLlama's,
    which shares out gradients and states, and whose fused norms, rotation, activation and loss are Liger's
    here."""
    zero = {
        "model.id": "meta-llama/Llama-2-7b-hf",
        "method.type": "full",
        "distributed.zeroStage": 3,
        "resources.accelerators.perNode": 4,
        "training.precision": "bf16",
        "training.microBatchSize": 8,
        "training.gradientAccumulationSteps": 1,
        "training.gradientCheckpointing": "full",
        "training.maxSequenceLength": 4096,
    }
    config = {
        "architecture": "gpt2",
        "hiddenSize": 768,
        "layers": 12,
        "attentionHeads": 12,
        "intermediateSize": 3072,
        "vocabSize": 50304,
        "maxPositionEmbeddings": 1024,
        "tieWordEmbeddings": True,
    }
    loop = {
        "model": {"config": config, "attention": "eager"},
        "method.type": "full",
        "training.precision": "bf16",
        "training.microBatchSize": 12,
        "training.gradientAccumulationSteps": 1,
        "training.maxSequenceLength": 1024,
    }
    hidden = {"hiddenSize": 2048, "layers": 22, "attentionHeads": 32, "keyValueHeads": 4}
    words = {"intermediateSize": 5632, "vocabSize": 32000, "tieWordEmbeddings": False}
    tiny = _full({"architecture": "llama"} | hidden | words, 16, 8, 8, 2048)
    tiny["model"]["kernels"] = "liger"
    tiny["distributed.zeroStage"] = 2
    return [
        Timing("Time, TinyLlama", "1.1B, 8 × 2048", tiny, 8 * 8 * 2048 / 24_000, 2048, "a100-40gb"),
        Timing("Time, accelerate's ZeRO-3", "granite-7b, 8 × 4096", zero, 10.6, 4096, "a100-80gb"),
        Timing("Time, nanoGPT", "GPT-2 124M, 12 × 1024", loop, 0.25, 1024, "a100-40gb"),
    ]


_ALL: Final = (
    *_llm_foundry("Time, llm-foundry A100", A100),
    *_llm_foundry("Time, llm-foundry H100", H100),
    *_llm_foundry("Time, llm-foundry A100 40 GB, others", A100_40),
    *_llamas(),
    *_measured_before(),
    *_single_figures(),
    *FRESH,
    *SEARCH,
)
TIMINGS: Final = tuple(sorted(_ALL, key=lambda row: list(SOURCES).index(row.group)))
