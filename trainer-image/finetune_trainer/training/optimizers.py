"""Optimizers by their names, and weights with rates of their own."""

import re
from collections import defaultdict
from typing import Any, Final

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_parameter_names

from finetune_api.job import FineTuneJobSpec
from finetune_api.training import Optimizer
from finetune_trainer.errors import InvalidConfigError

OPTIMIZERS: Final[dict[Optimizer, str]] = {
    "adamw": "adamw_torch",
    "adamwFused": "adamw_torch_fused",
    "adamw8bit": "adamw_bnb_8bit",
    "pagedAdamw": "paged_adamw_32bit",
    "pagedAdamw8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "ademamix": "ademamix",
    "ademamix8bit": "ademamix_8bit",
    "pagedAdemamix": "paged_ademamix_32bit",
    "pagedAdemamix8bit": "paged_ademamix_8bit",
    "lion": "lion_32bit",
    "lion8bit": "lion_8bit",
    "pagedLion": "paged_lion_32bit",
    "pagedLion8bit": "paged_lion_8bit",
    "sgd": "sgd",
    "adagrad": "adagrad",
    "rmsprop": "rmsprop",
    "rmspropBnb": "rmsprop_bnb_32bit",
    "rmsprop8bit": "rmsprop_bnb_8bit",
    "galoreAdamw": "galore_adamw",
    "galoreAdafactor": "galore_adafactor",
    "stableAdamw": "stable_adamw",
    "scheduleFreeAdamw": "schedule_free_adamw",
    "scheduleFreeRadam": "schedule_free_radam",
    "scheduleFreeSgd": "schedule_free_sgd",
}
"""Our names of optimizers, and transformers'. The validator refuses the others (`capabilities.py`)."""

SET_UP_HERE: Final[frozenset[Optimizer]] = frozenset(
    {
        "galoreAdamw",
        "galoreAdafactor",
        "stableAdamw",
        "scheduleFreeAdamw",
        "scheduleFreeRadam",
        "scheduleFreeSgd",
    }
)
"""Optimizers for which transformers' settings do not do (`library_optimizers.py`)."""

UNDECAYED: Final = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
"""Parameters without weight decay, as in transformers' Trainer."""

LEAST_PAGED: Final = 100_000
"""Weights of a tensor from which on bitsandbytes pages its state."""

EMBEDDING_RATE: Final = 1e-6
"""Learning rate of adapted embeddings under LoRA+ where none is given, as in PEFT."""


def optimizer_name(optimizer: Optimizer) -> str:
    """transformers' name. Raises `InvalidConfigError`."""
    if optimizer not in OPTIMIZERS:
        raise InvalidConfigError(
            f"training.optimizer: {optimizer} is not known to this trainer. Use one of "
            f"{', '.join(OPTIMIZERS)}"
        )
    return OPTIMIZERS[optimizer]


def optimizer_word(optimizer: Optimizer, stepping: Any) -> str:
    """The spec's name of an optimizer, and the class and library of the object that changes the weights: what
    accelerate and DeepSpeed put around it is taken off."""
    while hasattr(stepping, "optimizer"):
        stepping = stepping.optimizer
    library = type(stepping).__module__.partition(".")[0]
    return f"{optimizer} ({type(stepping).__name__} of {library})"


def page_again(optimizer: Any) -> None:
    """Puts the state of a paged optimizer, which a checkpoint has just brought, into memory that pages.

    bitsandbytes leaves it in plain memory of the GPU, which may have no room for it, and where several ranks
    go on it takes it for paged all the same, and ends the process at the first step.
    """
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    if not getattr(optimizer, "is_paged", False):
        return
    from bitsandbytes import functional

    for weight, state in optimizer.state.items():
        if weight.device.type == "cpu" or weight.numel() < LEAST_PAGED:
            continue
        for name in ("state1", "state2"):
            if name in state:
                plain = state[name]
                paged = functional.get_paged(*plain.shape, dtype=plain.dtype, device=weight.device)
                paged.copy_(plain)
                optimizer.page_mng.paged_tensors.append(paged)
                state[name] = paged


def grouped_optimizer(
    model: torch.nn.Module, arguments: TrainingArguments, spec: FineTuneJobSpec
) -> tuple[Any, dict[str, Any]] | None:
    """The optimizer's class and arguments, with our groups of parameters among them, for `Trainer`'s
    `optimizer_cls_and_kwargs`; None where all weights have one rate and transformers' own groups do.

    Raises `InvalidConfigError` for a pattern that no trained weight matches.
    """
    if spec.training.optimizer in SET_UP_HERE:
        from finetune_trainer.training.library_optimizers import library_optimizer

        groups = parameter_groups(model, spec)
        cls, settings = library_optimizer(model, spec.training, groups, arguments.device)
        return cls, {"lr": spec.training.learning_rate, **settings}
    if not spec.training.parameter_groups and spec.method.lora.learning_rate_ratio is None:
        return None
    cls, settings = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    return cls, {**settings, "params": parameter_groups(model, spec)}


def parameter_groups(model: torch.nn.Module, spec: FineTuneJobSpec) -> list[dict[str, Any]]:
    """The trained weights by learning rate and weight decay: as `parameterGroups` says, else as LoRA+ does
    (Hayou et al. 2024, arXiv:2402.12354: B matrices learn faster than A matrices), else as all.

    The first group is that of the largest number of weights: its rate is the one that is reported. Raises
    `InvalidConfigError`.
    """
    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], UNDECAYED))
    patterns = [re.compile(group.pattern) for group in spec.training.parameter_groups]
    used: set[int] = set()
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = _lora_plus_rate(name, spec)
        decay = spec.training.weight_decay if name in decayed else 0.0
        for index, pattern in enumerate(patterns):
            if pattern.search(name):
                used.add(index)
                chosen = spec.training.parameter_groups[index]
                rate = rate if chosen.learning_rate is None else chosen.learning_rate
                decay = decay if chosen.weight_decay is None else chosen.weight_decay
                break
        groups[rate, decay].append(parameter)
    unused = [
        spec.training.parameter_groups[index].pattern for index in range(len(patterns)) if index not in used
    ]
    if unused:
        raise InvalidConfigError(
            f"training.parameterGroups: {', '.join(map(repr, unused))} matches no trained weight that an "
            "earlier pattern has not taken. Correct or remove it"
        )
    ordered = sorted(groups.items(), key=lambda group: -sum(_size(weight) for weight in group[1]))
    return [{"params": weights, "lr": rate, "weight_decay": decay} for (rate, decay), weights in ordered]


def _lora_plus_rate(name: str, spec: FineTuneJobSpec) -> float:
    lora, rate = spec.method.lora, spec.training.learning_rate
    if lora.learning_rate_ratio is None or not spec.method.uses_adapters:
        return rate
    if "lora_embedding_" in name:
        return lora.embedding_learning_rate or EMBEDDING_RATE
    return rate * lora.learning_rate_ratio if ".lora_B." in name else rate


def _size(weight: torch.nn.Parameter) -> int:
    return int(getattr(weight, "ds_numel", weight.numel()))
