"""Tables that a search on 2026-11-22 found, each predicted before a formula was changed;
`docs/estimates.md` says what was. Sizes in GiB.
"""

from dataclasses import replace
from typing import Any, Final

from measurement import GB, Measurement, lora
from timing import Timing

from finetune_api.estimate.program import Program

SOURCES: Final = {
    "torchtune, step in the backward pass": "pytorch/torchtune README (2024-09), pull request 961 (2024-05)",
    "Answer.AI": "AnswerDotAI/fsdp_qlora, benchmarks_03_2024.md: Llama 2 7B on two RTX 4090, not shared out",
}
TIME_SOURCES: Final = {
    "Time, VectorLM": "VectorInstitute/vectorlm, docs/reference_throughput.md (2024): Llama 3 8B, A100",
    "Time, InternEvo": "InternLM/InternEvo, doc/en/train_performance.md (2023): 7B, up to 1,024 A100",
    "Time, Answer.AI": "AnswerDotAI/fsdp_qlora, benchmarks_03_2024.md: 7B on RTX 4090, 70B on A100 and H100",
}

TORCHTUNE: Final = Program(autocasting=False, narrow_adapters=True)
ANSWER_AI: Final = Program(autocasting=False, outputs_held=True, wide_outputs=True, narrow_adapters=True)
"""A loop in bf16 that holds its outputs, with transformers 4.38."""
ANSWER_AI_4_BIT: Final = replace(ANSWER_AI, quantized_inputs_kept=True)
"""The same with bitsandbytes 0.43.0."""
FUSED: Final = Program(activation_fused=False)
"""FlashAttention's rotation and loss, Apex' norm."""
ROCE: Final = 50.0
"""GB/s of a node: four adapters of 100 Gb/s."""
_INTERNLM_7B: Final = {
    "architecture": "llama",
    "hiddenSize": 4096,
    "layers": 32,
    "attentionHeads": 32,
    "intermediateSize": 11008,
    "vocabSize": 103168,
    "maxPositionEmbeddings": 2048,
    "tieWordEmbeddings": False,
}


def _torchtune() -> list[Measurement]:
    """Full fine-tuning in bf16 with checkpointing; each gradient is used and freed in the backward pass and
    the states are paged, which the API's `lomo` stands for. Llama 3.1 is compiled and takes its loss in
    chunks, which the API's `unsloth` stands for."""
    rows: tuple[tuple[str, str, int, float, str], ...] = (
        ("meta-llama/Llama-3.1-8B", "unsloth", 2, 18.9, "rtx4090"),
        ("meta-llama/Llama-2-7b-hf", "none", 4, 20.2 * GB, "a100-80gb"),
    )
    return [
        Measurement(
            "torchtune, step in the backward pass",
            f"{model.partition('/')[2]} full, {batch} × 2048",
            {
                "model": {"id": model, "kernels": kernels, "loadPrecision": "bf16"},
                "method.type": "full",
                "dataset.packing": True,
                "training.precision": "bf16",
                "training.optimizer": "lomo",
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 1,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": 2048,
            },
            gib,
            "allocated",
            accelerator,
            TORCHTUNE,
        )
        for model, kernels, batch, gib, accelerator in rows
    ]


def _vectorlm() -> list[Timing]:
    """16,384 tokens on each device, all of them the same token, four times per step; checkpointing, flash
    attention, one type. FSDP shares out what ZeRO-3 does."""
    rows = (
        ("full", 1, (3550.48, 3461.64, 3204.21)),
        ("full", 2, (6346.00, 6182.59, 5772.91)),
        ("full", 4, (12688.44, 12249.74, 11463.46)),
        ("LoRA", 1, (4079.28, 3682.15, 3528.93)),
        ("LoRA", 2, (7182.97, 6955.58, 6452.96)),
        ("LoRA", 4, (14299.47, 13834.43, 12769.23)),
    )
    made = []
    for method, devices, speeds in rows:
        adapters = lora(8, ["q_proj", "v_proj"], 0.1)
        changes: dict[str, Any] = {"method.type": "full"} if method == "full" else adapters
        for (batch, length), speed in zip(((8, 2048), (4, 4096), (2, 8192)), speeds, strict=True):
            common = {
                "model": {"id": "meta-llama/Meta-Llama-3-8B", "kernels": "none", "loadPrecision": "bf16"},
                "training.precision": "bf16",
                "training.microBatchSize": batch,
                "training.gradientAccumulationSteps": 4,
                "training.gradientCheckpointing": "full",
                "training.maxSequenceLength": length,
                "resources.accelerators.perNode": devices,
                "distributed.zeroStage": 0 if devices == 1 else 3,
            }
            name = f"{method}, {devices} devices, {batch} × {length}"
            seconds = 4 * devices * batch * length / speed
            made.append(
                Timing("Time, VectorLM", name, common | changes, seconds, length, "a100-80gb", TORCHTUNE)
            )
    return made


def _internevo() -> list[Timing]:
    """Tokens of one device per second, for 8 to 1,024 devices: with checkpointing and a pass of 16,384
    tokens, and without and four passes of 4,096. States are shared out in each node, and gradients averaged
    over all."""
    rows = (
        ("full", 8, 1, (3314, 3268, 3323, 3217, 3260, 3215, 3199, 3163)),
        ("none", 2, 4, (4078, 3939, 3919, 3944, 3928, 3920, 3835, 3625)),
    )
    return [
        Timing(
            "Time, InternEvo",
            f"7B, {8 * nodes} devices{', checkpointing' if checkpointing == 'full' else ''}",
            {
                "model": {"config": _INTERNLM_7B, "kernels": "liger"},
                "method.type": "full",
                "dataset.packing": True,
                "training.precision": "bf16",
                "training.microBatchSize": micro,
                "training.gradientAccumulationSteps": accumulation,
                "training.gradientCheckpointing": checkpointing,
                "training.maxSequenceLength": 2048,
                "distributed.nodes": nodes,
                "resources.accelerators.perNode": 8,
                "distributed.zeroStage": 1,
            },
            micro * accumulation * 2048 / speed,
            2048,
            "a100-80gb",
            FUSED,
            network_gbs=ROCE,
        )
        for checkpointing, micro, accumulation, speeds in rows
        for nodes, speed in zip((1, 2, 4, 8, 16, 32, 64, 128), speeds, strict=True)
    ]


def _answer_ai(model: str, method: str, batch: int, devices: int, zero_stage: int) -> dict[str, Any]:
    """Rank 64 on all layers but attention's output, sequences of 2,048 tokens, checkpointing. FSDP, where it
    shares out, is ZeRO-3 here; its memory is not compared."""
    quantized = {"method.type": "qlora", "quantization": {"type": "nf4", "doubleQuantization": True}}
    adapters = lora(64, ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj", "gate_proj"], 0.1)
    return {
        **adapters,
        **(quantized if method == "QLoRA" else {}),
        "model.id": f"meta-llama/Llama-2-{model}-hf",
        "model.loadPrecision": "bf16",
        "training.precision": "bf16",
        "training.microBatchSize": batch,
        "training.gradientAccumulationSteps": 1,
        "training.gradientCheckpointing": "full",
        "training.maxSequenceLength": 2048,
        "resources.accelerators.perNode": devices,
        "distributed.engine": "deepspeed" if zero_stage else "torch",
        "distributed.zeroStage": zero_stage,
    }


def _answer_ai_memory() -> list[Measurement]:
    return [
        Measurement(
            "Answer.AI",
            f"Llama-2-7b {method}, {batch} × 2048",
            _answer_ai("7b", method, batch, 2, 0),
            gib,
            "reserved",
            "rtx4090",
            program,
        )
        for method, batch, gib, program in (
            ("LoRA", 4, 22.04, ANSWER_AI),
            ("QLoRA", 8, 20.94, ANSWER_AI_4_BIT),
        )
    ]


def _answer_ai_times() -> list[Timing]:
    """Seconds for 1,024 sequences. Its two RTX 3090 are left out, which have 280 of their 350 W."""
    rows = (
        ("7b", "LoRA", 4, 2, 0, "rtx4090", 437),
        ("7b", "QLoRA", 8, 2, 0, "rtx4090", 450),
        ("7b", "LoRA", 6, 2, 3, "rtx4090", 481),
        ("7b", "QLoRA", 10, 2, 3, "rtx4090", 466),
        ("70b", "QLoRA", 1, 2, 3, "a100-40gb", 3277),
        ("70b", "QLoRA", 4, 4, 3, "a100-40gb", 1266),
        ("70b", "QLoRA", 4, 8, 3, "a100-40gb", 672),
        ("70b", "QLoRA", 8, 4, 3, "h100-80gb", 667),
    )
    return [
        Timing(
            "Time, Answer.AI",
            f"{model} {method}, {devices} × {accelerator}{', shared out' if zero_stage else ''}",
            _answer_ai(model, method, batch, devices, zero_stage),
            seconds * batch * devices / 1024,
            2048,
            accelerator,
            ANSWER_AI,
        )
        for model, method, batch, devices, zero_stage, accelerator, seconds in rows
    ]


MEASUREMENTS: Final = (*_torchtune(), *_answer_ai_memory())
TIMINGS: Final = (*_vectorlm(), *_internevo(), *_answer_ai_times())
