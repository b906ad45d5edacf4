"""The LoRA family: what PEFT is told about each of its members."""

import re
import warnings
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import torch
from transformers import PreTrainedModel, set_seed

from finetune_api.method import ALL_LINEAR, LoraSpec, MethodSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.layers import check_names, is_end_of, module_names
from finetune_trainer.model.heads import LANGUAGE, Head

Initialization = Literal["default", "gaussian", "pissa", "olora", "loftq", "orthogonal", "eva"]

EMBEDDINGS = frozenset({"embed_tokens", "lm_head"})
"""Names by which PEFT knows embeddings that may be tied."""

DECOMPOSED: frozenset[Initialization] = frozenset({"pissa", "olora", "loftq"})
"""Initializations that move a part of the base's weights into the adapter."""


WITHOUT_EXPERTS: Final = (
    "Adapters of experts that are one parameter know neither dropout nor dora: set method.lora.dropout to 0, "
    "or name the modules of the attention in method.lora.targetModules"
)
"""The way out, where PEFT refuses."""


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

    names = module_names(model)
    _check_places(names, method.lora)
    _check_experts(model, method, names)
    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    set_seed(seed)
    try:
        with warnings.catch_warnings():
            # adapters of a tied embedding are each one's own: those that PEFT would tie part in training
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True` and a tied layer is part")
            # that the rank PEFT itself gave experts were for a module: it is for a parameter, and counts
            warnings.filterwarnings("ignore", r"The following (rank|alpha)_pattern keys did not match")
            # that PEFT finds out by itself how GPT-2's weights lie
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False but the target module is")
            adapted: Any = get_peft_model(model, adapter_config(method, start, head, tied=tied))
    except ValueError as error:
        way_out = f". {WITHOUT_EXPERTS}" if "ParamWrapper" in str(error) else ""
        raise InvalidConfigError(f"method.lora: {error}{way_out}") from error
    targets = adapted.peft_config["default"].target_modules
    if not isinstance(targets, str):
        # as PEFT looks for them: it knows names that experts had as linear layers
        check_names(names, sorted(targets), "method.lora.targetModules")
    return cast(torch.nn.Module, adapted)


def _check_experts(model: PreTrainedModel, method: MethodSpec, names: Mapping[str, bool]) -> None:
    """Raises `InvalidConfigError` for adapters of experts that are one parameter of three dimensions, as all
    but names of modules may have them, where these are to start otherwise than at nothing: PEFT looks for a
    matrix."""
    start, lora = initialization(method), method.lora
    # names of experts as linear layers, such as w1, are none of the model's modules
    are_modules = all(any(is_end_of(name, each) for name in names) for each in lora.target_modules)
    if start in ("default", "gaussian") or (are_modules and lora.target_pattern is None):
        return
    for name, weight in model.named_parameters():
        if not name.endswith(".weight") and len(getattr(weight, "ds_shape", weight.shape)) == 3:
            raise InvalidConfigError(
                f"method.lora.initialization: {start} starts from matrices, and {name} has three dimensions. "
                f"Use initialization default. {WITHOUT_EXPERTS}"
            )


def _check_places(names: Mapping[str, bool], lora: LoraSpec) -> None:
    """Raises `InvalidConfigError` for each name or number that PEFT would pass over, since others match."""
    check_names(names, lora.modules_to_save, "method.lora.modulesToSave", str.endswith)
    # as PEFT reads the numbers of layers from names
    place = rf"(?:^|.*?\.){lora.layers_pattern}" if lora.layers_pattern else r".*?\.[^.]*"
    numbers = {int(found[1]) for name in names if (found := re.match(rf"{place}\.(\d+)\.", name))}
    if not numbers.issuperset(lora.layers_to_transform):
        beyond = sorted(set(lora.layers_to_transform) - numbers)
        raise InvalidConfigError(
            f"method.lora.layersToTransform: the model has no layers {beyond}. Use numbers from 0 to "
            f"{max(numbers, default=0)}"
        )


def name_revision(model: torch.nn.Module, revision: str | None) -> None:
    """Has each adapter say, where it is saved, which revision of the base it is for."""
    for config in getattr(model, "peft_config", {}).values():
        config.revision = revision


def scaling(method: MethodSpec) -> float:
    """What the adapter's output is multiplied by: α / r, or α / √r when rank-stabilized
    (Kalajdzievski 2023, arXiv:2312.03732)."""
    rooted = method.lora.rank_stabilized or method.type == "rslora"
    return method.lora.alpha / (method.lora.rank**0.5 if rooted else method.lora.rank)
