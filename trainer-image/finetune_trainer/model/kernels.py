"""Fused kernels and compilation: what is there, and a word on what is not."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from finetune_api.resolved import ResolvedJob

FLASH: Final = {
    "flash_attention_2": is_flash_attn_2_available,
    "flash_attention_3": is_flash_attn_3_available,
}
"""Attention implementations of libraries that an image may hold or not."""


LANGUAGE_MODELS_ALONE: Final = {"gemma3_text"}
"""Families of which Liger (0.8.5) refuses every other model with `TypeError`."""


def attention(asked: str) -> str | None:
    """The implementation to load a model with, by transformers' name: sdpa in place of a library that is not
    there, which computes the same; None where transformers chooses."""
    if asked == "auto":
        return None
    there = FLASH.get(asked)
    return asked if there is None or there() else "sdpa"


def attention_word(asked: str, used: str) -> str:
    """Which attention runs, for the status, with the reason where another was asked for."""
    if asked in FLASH and used != asked:
        return f"{used} ({asked} needs its library and a GPU, and they are not both here)"
    return used


def liger_is_on(job: ResolvedJob, model: object) -> bool:
    """Whether Liger's Triton kernels replace parts of the model: asked for, there, and on a GPU."""
    return kernels_word(job, model) == "liger"


def liger_parts(job: ResolvedJob) -> dict[str, bool]:
    """Which of Liger's kernels are used. Its loss comes with a forward pass of its own, and is for stages
    alone that learn the next token: a reward model has no such head, and other stages want the logits."""
    return {"fused_linear_cross_entropy": job.spec.training.stage in ("pretrain", "sft")}


@contextmanager
def family_unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Inside, a model's family may be changed for all models that are still to be made. Liger does so, and
    what is loaded after the training to be merged or tried may lie in the host's memory, where its kernels
    fail."""
    names = {type(part).__module__ for part in model.modules()}
    before = {name: dict(vars(sys.modules[name])) for name in names if name.startswith("transformers.")}
    try:
        yield
    finally:
        for name, found in before.items():
            vars(sys.modules[name]).update(found)


def kernels_word(job: ResolvedJob, model: object) -> str:
    """Which kernels run, for the status, with the reason where others were asked for."""
    if job.spec.model.kernels == "none":
        return "none"
    if job.device != "cuda":
        return "none (Liger's are written for GPUs)"
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", "model")
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        return f"none (Liger has none for {kind})"
    if kind in LANGUAGE_MODELS_ALONE and job.spec.training.stage == "rm":
        return f"none (Liger has none for reward models of {kind})"
    return "liger"


def compile_mode(job: ResolvedJob) -> str | None:
    """torch.compile's mode; None where nothing is compiled."""
    modes = {"default": "default", "reduceOverhead": "reduce-overhead", "maxAutotune": "max-autotune"}
    return modes.get(job.spec.training.compile) if _can_compile(job) else None


def compile_word(job: ResolvedJob) -> str:
    """What is compiled, for the status, with the reason where nothing is although it was asked for."""
    if job.spec.training.compile == "none":
        return "none"
    return (
        job.spec.training.compile
        if _can_compile(job)
        else "none (there is no C++ compiler for the CPU's code)"
    )


def _can_compile(job: ResolvedJob) -> bool:
    return job.device == "cuda" or shutil.which("g++") is not None or shutil.which("clang++") is not None


def upcast_norms(model: torch.nn.Module) -> int:
    """Turns the weights of normalisation layers into fp32; returns how many layers were changed."""
    changed = 0
    for module in model.modules():
        own = module.parameters(recurse=False)
        if "norm" in type(module).__name__.lower() and any(weight.dtype != torch.float32 for weight in own):
            module.to(torch.float32)
            changed += 1
    return changed
