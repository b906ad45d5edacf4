"""The loaded base as it is trained."""

from typing import cast

import torch
from transformers import PreTrainedModel

from finetune_api.method import FreezeSpec, MethodSpec, SpectrumSpec
from finetune_trainer.methods.adapters import initialization, with_adapter
from finetune_trainer.methods.dora import measure_magnitudes, refuse_zeros, unpack_every_base
from finetune_trainer.methods.freeze import freeze
from finetune_trainer.methods.spectrum import spectrum
from finetune_trainer.methods.start import Start
from finetune_trainer.model.heads import LANGUAGE, Head


def apply_method(
    model: PreTrainedModel, method: MethodSpec, seed: int, start: Start | None = None
) -> torch.nn.Module:
    """The model with its adapters, or with gradients for some of its weights or all of them.

    `model` is `start.base`, quantized or not. Raises `InvalidConfigError` for layers or modules that the
    model does not have.
    """
    head = start.head if start else LANGUAGE
    if method.type == "freeze":
        freeze(model, method.freeze or FreezeSpec())
        _train_head(model, head)
    elif method.type == "spectrum":
        spectrum(model, method.spectrum or SpectrumSpec(), start.layers if start else None)
        _train_head(model, head)
    elif method.uses_adapters:
        return _adapted(model, method, seed, start, head)
    return cast(torch.nn.Module, model)


def _train_head(model: PreTrainedModel, head: Head) -> None:
    """What starts at random is trained, whatever else is."""
    for name, parameter in model.named_parameters():
        if name.startswith((*head.fresh, *(f"{extra}." for extra in head.extra))):
            parameter.requires_grad_(True)


def _adapted(
    model: PreTrainedModel, method: MethodSpec, seed: int, start: Start | None, head: Head
) -> torch.nn.Module:
    # whatever of a quantized base is not quantized has gradients until somebody takes them
    model.requires_grad_(False)
    if method.type == "dora":
        unpack_every_base()
    ready = (start.adapter or start.computed) if start is not None else None
    if ready is not None:
        from peft import PeftModel

        adapted: torch.nn.Module = PeftModel.from_pretrained(model, ready, is_trainable=True)
        if method.type == "dora" and getattr(model, "is_quantized", False):
            measure_magnitudes(adapted)
    else:
        kind = initialization(method)
        adapted = with_adapter(model, method, seed, True if kind == "default" else kind, head)
    if method.type == "dora":
        refuse_zeros(adapted)
    return adapted
