"""What is tried on a GPU: chosen so that each path that no CPU has is taken once."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from finetune_api.model import ArchitectureSpec, TokenizerTrainSpec
from finetune_trainer.model.models import create_base
from finetune_trainer.model.tokenizers import train_tokenizer
from stage_data import STAGES

Spec = dict[str, dict[str, Any]]

BASE: Final[Spec] = {
    "model": {"path": "model"},
    "method": {"type": "full"},
    "dataset": {"format": "alpaca", "evalSplit": 0.2, "train": {"path": "additions.jsonl"}},
    "training": {
        "maxSteps": 4,
        "microBatchSize": 4,
        "learningRate": 1e-3,
        "maxSequenceLength": 64,
        "loggingSteps": 1,
    },
    "evaluation": {"everySteps": 2},
    "checkpoints": {"everySteps": 2},
}


@dataclass(frozen=True)
class Case:
    """One run."""

    name: str
    spec: Spec = field(default_factory=dict)
    learns_alike: bool = True
    """Whether its losses are those of the first case, but for rounding."""
    resumes: bool = False
    """Whether it is run again from its last checkpoint but one."""
    ranks: int = 1
    needs: Callable[[], str | None] | None = None
    """What this machine lacks."""


def write_inputs(directory: Path) -> None:
    """The model and the records that the cases name."""
    additions = [
        {"instruction": f"add {a} and {b}", "output": str(a + b)} for a in range(10) for b in range(8)
    ]
    files = {"additions": additions} | {name: records for name, (_, records, _) in STAGES.items()}
    for name, records in files.items():
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
    texts = [f"{record['instruction']} {record['output']} user assistant" for record in additions]
    tokenizer = train_tokenizer(texts, TokenizerTrainSpec(vocab_size=300))
    # wide enough that paged optimizers page
    shape = ArchitectureSpec(hidden_size=256, layers=2, attention_heads=4, max_position_embeddings=128)
    create_base(shape, tokenizer, directory / "model", seed=1)


def flash() -> str | None:
    """Whether the library is there."""
    return None if importlib.util.find_spec("flash_attn") else "flash_attn is not installed"


def trained(**settings: Any) -> Spec:
    return {"training": settings}


def quantized(kind: str, method: str = "lora") -> Spec:
    return {"method": {"type": method, "lora": {"rank": 8}}, "quantization": {"type": kind}}


def shared(stage: int, **settings: Any) -> Spec:
    return {"distributed": {"zeroStage": stage} | settings}


def staged(name: str) -> Case:
    layout, _, settings = STAGES[name]
    data = {"format": layout, "train": {"path": f"{name}.jsonl"}}
    return Case(name, {"dataset": data, "training": {"stage": name} | settings}, learns_alike=False)


OPTIMIZERS: Final = (
    "adamwFused",
    "adamw8bit",
    "pagedAdamw",
    "pagedAdamw8bit",
    "pagedAdemamix8bit",
    "pagedLion8bit",
    "stableAdamw",
)
LIGER: Final[Spec] = {"model": BASE["model"] | {"kernels": "liger"}}
FLASH: Final[Spec] = {"model": BASE["model"] | {"attention": "flash_attention_2"}}
PACKED: Final[Spec] = {"dataset": {"packing": True}}

CASES: Final = (
    Case("fp32", trained(precision="fp32"), resumes=True),
    Case("tf32", trained(precision="tf32")),
    Case("bf16", trained(precision="bf16"), resumes=True),
    Case("fp16", trained(precision="fp16"), resumes=True),
    *(Case(name, trained(optimizer=name), learns_alike=False, resumes=True) for name in OPTIMIZERS),
    Case("gradient checkpointing", trained(gradientCheckpointing="full")),
    Case("compiled", trained(compile="default")),
    Case("compiled, maxAutotune, tf32", trained(compile="maxAutotune", precision="tf32")),
    Case("Liger", LIGER),
    Case("packed", PACKED, learns_alike=False),
    Case("packed, flash attention", PACKED | FLASH, learns_alike=False, needs=flash),
    Case("lora, merged", quantized("none") | {"output": {"mergeAdapter": True}}, learns_alike=False),
    *(Case(f"lora on {kind}", quantized(kind), learns_alike=False) for kind in ("int8", "int4", "fp4")),
    Case("qlora, merged", quantized("nf4", "qlora") | {"output": {"mergeAdapter": True}}, learns_alike=False),
    Case("qlora, flash attention", quantized("nf4", "qlora") | FLASH, learns_alike=False, needs=flash),
    Case("dora on nf4", quantized("nf4", "dora"), learns_alike=False),
    Case("pissa on nf4", quantized("nf4", "pissa"), learns_alike=False),
    *(staged(name) for name in ("rm", "dpo", "kto", "grpo")),
    Case("ZeRO-2", shared(2), resumes=True),
    Case("ZeRO-3", shared(3), resumes=True),
    Case("ZeRO-2, optimizer in host memory", shared(2, offload={"optimizer": "cpu"})),
    Case("ZeRO-3, all in host memory", shared(3, offload={"optimizer": "cpu", "parameters": "cpu"})),
    Case("ZeRO-2 in fp16", shared(2) | trained(precision="fp16")),
    Case("two GPUs, data parallel", learns_alike=False, ranks=2, resumes=True),
    Case(
        "two GPUs, paged",
        trained(optimizer="pagedAdamw8bit"),
        learns_alike=False,
        ranks=2,
        resumes=True,
    ),
    Case("two GPUs, ZeRO-3", shared(3), learns_alike=False, ranks=2, resumes=True),
)
