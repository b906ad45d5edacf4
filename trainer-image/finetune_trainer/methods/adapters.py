"""The LoRA family: what PEFT is told about each of its members."""

import warnings
from typing import Any, Literal, cast

import torch
from transformers import PreTrainedModel, set_seed

from finetune_api.method import ALL_LINEAR, LoraSpec, MethodSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.heads import LANGUAGE, Head

Initialization = Literal["default", "gaussian", "pissa", "olora", "loftq", "orthogonal", "eva"]

EMBEDDINGS = frozenset({"embed_tokens", "lm_head"})
"""Names by which PEFT knows embeddings that may be tied."""

DECOMPOSED: frozenset[Initialization] = frozenset({"pissa", "olora", "loftq"})
"""Initializations that move a part of the base's weights into the adapter."""


def initialization(method: MethodSpec) -> Initialization:
    """How the adapters start."""
    asked = method.lora.initialization
    if asked == "auto":
        return "pissa" if method.type == "pissa" else "default"
    return asked


def adapter_config(
    method: MethodSpec, start: bool | str = True, head: Head = LANGUAGE, *, tied: bool = False
) -> Any:
    """PEFT's configuration for a method with adapters; `start` is PEFT's name of the initialization, and
    `tied` says whether the model's input and output embedding share their weights."""
    from peft import EvaConfig, LoraConfig

    spec: LoraSpec = method.lora
    modules = ALL_LINEAR if spec.target_modules == [ALL_LINEAR] else spec.target_modules
    return LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=spec.target_pattern or modules,
        bias="lora_only" if spec.bias == "loraOnly" else spec.bias,
        modules_to_save=[*spec.modules_to_save, *head.extra] or None,
        layers_to_transform=spec.layers_to_transform or None,
        layers_pattern=spec.layers_pattern,
        use_rslora=spec.rank_stabilized or method.type == "rslora",
        use_dora=method.type == "dora",
        init_lora_weights=start,
        eva_config=EvaConfig() if start == "eva" else None,
        # else a whole input embedding and the output embedding would part
        ensure_weight_tying=tied and not EMBEDDINGS.isdisjoint(spec.modules_to_save),
        task_type=head.task,
    )


def with_adapter(
    model: PreTrainedModel,
    method: MethodSpec,
    seed: int,
    start: bool | str = True,
    head: Head = LANGUAGE,
) -> torch.nn.Module:
    """The model with a new adapter on it. Raises `InvalidConfigError` for modules that it does not have."""
    from peft import get_peft_model

    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    set_seed(seed)
    try:
        with warnings.catch_warnings():
            # adapters of a tied embedding are each one's own: those that PEFT would tie part in training
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True` and a tied layer is part")
            return cast(
                torch.nn.Module, get_peft_model(model, adapter_config(method, start, head, tied=tied))
            )
    except ValueError as error:
        raise InvalidConfigError(f"method.lora: {error}") from error


def name_revision(model: torch.nn.Module, revision: str | None) -> None:
    """Has each adapter say, where it is saved, which revision of the base it is for."""
    for config in getattr(model, "peft_config", {}).values():
        config.revision = revision


def scaling(method: MethodSpec) -> float:
    """What the adapter's output is multiplied by: α / r, or α / √r when rank-stabilized
    (Kalajdzievski 2023, arXiv:2312.03732)."""
    rooted = method.lora.rank_stabilized or method.type == "rslora"
    return method.lora.alpha / (method.lora.rank**0.5 if rooted else method.lora.rank)
