"""Times of training steps that others have published, as jobs of ours, with the place where each was read.

Rows of tables with hundreds were chosen before any was compared: one per model and length or so.
"""

from dataclasses import dataclass
from typing import Any, Final

from measurement import Measurement
from published import MEASUREMENTS
from published_t4 import RANK_16, RANK_32

from finetune_api.estimate.program import FIRST_FLASH_ATTENTION, TRAINER, Program


@dataclass(frozen=True)
class Timing:
    """One row of a published table."""

    group: str
    name: str
    changes: dict[str, Any]
    """The job, as values by field path."""
    seconds: float
    """Of one optimizer step."""
    length: float
    """Tokens of a sequence, on average."""
    accelerator: str
    program: Program = TRAINER
    family: str | None = None
    """Family of the architecture, where the API has no name for it."""


SOURCES: Final = {
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
    "Time, PEFT": "huggingface/peft, method_comparison/MetaMathQA/results: 250 steps of 4 records, one L40S",
    "Time, T4 16 bit": "fitcheck-llm 0.3.1, the runs above",
    "Time, T4 4 bit": "the same",
}
HELD_OUT: Final = (
    "Time, torchtitan",
    "Time, torchtune",
    "Time, fms-acceleration",
    "Time, PowerLM",
    "Time, fms, new dependencies",
)
"""Tables that were looked at when every formula and constant stood."""

_MPT: Final = {
    "125m": (768, 12),
    "350m": (1024, 24),
    "760m": (1536, 24),
    "1b": (2048, 24),
    "3b": (2560, 32),
    "7b": (4096, 32),
    "13b": (5120, 40),
    "30b": (7168, 48),
    "70b": (8192, 80),
}
"""Width and layers of llm-foundry's models."""

_A100: Final = (
    ("a100-80gb", "70b", 2048, 64, 8, 4, True, 410),
    ("a100-80gb", "30b", 8192, 8, 1, 21, True, 574),
    ("a100-80gb", "30b", 2048, 8, 3, 21, True, 916),
    ("a100-80gb", "30b", 512, 8, 12, 21, True, 967),
    ("a100-80gb", "13b", 16384, 8, 3, 3, True, 1431),
    ("a100-80gb", "13b", 4096, 8, 10, 3, True, 2060),
    ("a100-80gb", "13b", 2048, 8, 2, 3, False, 2262),
    ("a100-80gb", "7b", 16384, 8, 4, 2, True, 2453),
    ("a100-80gb", "7b", 4096, 8, 16, 2, True, 3684),
    ("a100-80gb", "7b", 2048, 8, 6, 2, False, 4641),
    ("a100-80gb", "3b", 8192, 8, 3, 6, False, 7695),
    ("a100-80gb", "3b", 2048, 8, 10, 2, False, 10811),
    ("a100-80gb", "1b", 4096, 8, 7, 4, False, 17807),
    ("a100-80gb", "1b", 512, 8, 56, 4, False, 23148),
    ("a100-80gb", "760m", 2048, 8, 24, 2, False, 32434),
    ("a100-80gb", "350m", 2048, 8, 32, 2, False, 58782),
    ("a100-80gb", "125m", 2048, 8, 32, 2, False, 141737),
    ("a100-40gb", "30b", 2048, 32, 4, 1, True, 857),
    ("a100-40gb", "13b", 4096, 8, 2, 16, True, 1603),
    ("a100-40gb", "13b", 2048, 16, 10, 1, True, 1993),
    ("a100-40gb", "7b", 4096, 8, 6, 4, True, 3366),
    ("a100-40gb", "7b", 2048, 32, 18, 1, True, 3725),
    ("a100-40gb", "3b", 4096, 8, 2, 8, False, 8777),
)
"""Device, model, length, devices, micro-batch, accumulation, checkpointing, tokens per second and device."""

_H100: Final = (
    ("h100-80gb", "70b", 2048, 64, 8, 4, True, 1039),
    ("h100-80gb", "70b", 2048, 32, 2, 16, True, 882),
    ("h100-80gb", "30b", 8192, 8, 1, 21, True, 1384),
    ("h100-80gb", "30b", 4096, 8, 1, 21, True, 1802),
    ("h100-80gb", "30b", 2048, 32, 14, 3, True, 2308),
    ("h100-80gb", "30b", 2048, 8, 3, 21, True, 2002),
    ("h100-80gb", "30b", 1024, 8, 6, 21, True, 2084),
    ("h100-80gb", "13b", 16384, 8, 3, 3, True, 2985),
    ("h100-80gb", "13b", 4096, 8, 10, 3, True, 4717),
    ("h100-80gb", "13b", 2048, 8, 2, 1, False, 4792),
    ("h100-80gb", "13b", 1024, 8, 40, 3, True, 5502),
    ("h100-80gb", "7b", 32768, 8, 2, 2, True, 3318),
    ("h100-80gb", "7b", 8192, 8, 8, 2, True, 6935),
    ("h100-80gb", "7b", 4096, 8, 16, 2, True, 8611),
    ("h100-80gb", "7b", 2048, 8, 6, 1, False, 10643),
    ("h100-80gb", "7b", 1024, 8, 64, 2, True, 10203),
    ("h100-80gb", "3b", 8192, 8, 3, 6, False, 16578),
    ("h100-80gb", "3b", 2048, 16, 10, 3, False, 24142),
    ("h100-80gb", "3b", 512, 8, 40, 6, False, 27965),
    ("h100-80gb", "1b", 8192, 8, 3, 4, False, 29157),
    ("h100-80gb", "1b", 2048, 8, 14, 1, False, 45455),
    ("h100-80gb", "760m", 2048, 8, 24, 2, False, 63147),
)

_A100_40: Final = (
    ("a100-40gb", "3b", 2048, 32, 6, 1, False, 9914),
    ("a100-40gb", "3b", 512, 8, 20, 8, False, 11324),
    ("a100-40gb", "1b", 32768, 8, 1, 4, True, 5095),
    ("a100-40gb", "1b", 8192, 8, 2, 8, False, 13474),
    ("a100-40gb", "1b", 2048, 8, 8, 8, False, 19271),
    ("a100-40gb", "760m", 16384, 8, 1, 4, False, 13914),
    ("a100-40gb", "760m", 2048, 64, 12, 1, False, 29344),
    ("a100-40gb", "760m", 512, 8, 48, 4, False, 34938),
    ("a100-40gb", "350m", 4096, 8, 8, 4, False, 46833),
    ("a100-40gb", "350m", 2048, 16, 18, 1, False, 55413),
    ("a100-40gb", "125m", 8192, 8, 5, 3, False, 86858),
    ("a100-40gb", "125m", 1024, 8, 52, 3, False, 148289),
)


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
        hidden, layers = _MPT[model]
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
        _as_timing("Time, Qwen LoRA", row, row.seconds_per_step, row.changes["training.maxSequenceLength"])
        for row in MEASUREMENTS
        if row.group == "Qwen LoRA" and row.seconds_per_step
    ]
    tables = (
        "torchtune",
        "fms-acceleration, allocated",
        "fms-acceleration, Liger, allocated",
        "PowerLM, allocated",
        "fms, new dependencies, allocated",
    )
    made += [
        _as_timing(f"Time, {row.group.removesuffix(', allocated')}", row, row.seconds_per_step, 4096)
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


_ALL: Final = (
    *_llm_foundry("Time, llm-foundry A100", _A100),
    *_llm_foundry("Time, llm-foundry H100", _H100),
    *_llm_foundry("Time, llm-foundry A100 40 GB, others", _A100_40),
    *_llamas(),
    *_measured_before(),
)
TIMINGS: Final = tuple(sorted(_ALL, key=lambda row: list(SOURCES).index(row.group)))
