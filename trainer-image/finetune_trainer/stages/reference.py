"""The model as it was before training, which several stages hold the trained one to."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from finetune_api.model import ModelSpec
from finetune_trainer.model.models import load_base, load_dtype
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.stages.base import Setting


class Reference(ABC):
    """Computes without gradients and without dropout, and draws no random number."""

    @abstractmethod
    def logits(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Of shape (rows, tokens, vocabulary)."""


class AdaptersOff(Reference):
    """The trained model without its adapters: no second copy of the base is needed."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, inputs: dict[str, Any]) -> torch.Tensor:
        with without_training(self.model), self.model.disable_adapter():
            logits: torch.Tensor = self.model(**inputs).logits
        return logits


class FrozenCopy(Reference):
    """A second model, which is not trained."""

    def __init__(self, model: Any, setting: Setting) -> None:
        accelerator = setting.accelerator
        self.autocast = accelerator.autocast
        model.requires_grad_(requires_grad=False)
        model.eval()
        if accelerator.distributed_type == DistributedType.DEEPSPEED:
            # the engine computes in this type throughout, without autocast
            model.to(DTYPES[setting.precision])
        if is_deepspeed_zero3_enabled():
            from trl.models.utils import prepare_deepspeed

            self.model = prepare_deepspeed(model, accelerator)
        else:
            self.model = model.to(accelerator.device)

    def logits(self, inputs: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad(), self.autocast():
            logits: torch.Tensor = self.model(**inputs).logits
        return logits


@contextmanager
def without_training(model: torch.nn.Module) -> Iterator[None]:
    """Inside, the model computes without gradients and dropout."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def reference_for(setting: Setting, other: str | None = None) -> Reference:
    """The base of the job as it is without training, or another model of the hub."""
    spec = setting.job.spec
    if other is None and spec.method.starts_at_base:
        return AdaptersOff(setting.model)
    model = spec.model if other is None else ModelSpec(id=other, attention=spec.model.attention)
    place = setting.base if other is None else other
    # under DeepSpeed it is cast before it is moved
    casts = setting.accelerator.distributed_type == DistributedType.DEEPSPEED
    device = None if casts else setting.accelerator.device
    copy = load_base(model, place, load_dtype(spec, setting.precision), device=device)
    return FrozenCopy(copy, setting)
