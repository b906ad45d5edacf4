"""A trial of packing: whether the model at hand, with its attention, keeps packed documents apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.data.dataset import Sample
from finetune_trainer.data.packed import PackedDataset, join
from finetune_trainer.errors import InvalidConfigError


def check_isolation(model: torch.nn.Module, packs: PackedDataset, device: torch.device | None = None) -> None:
    """Raises `InvalidConfigError` when a document changes what the model computes for the one beside it.

    Two batches that differ in nothing but their first document must give the same logits for the second, to
    the last bit. The model computes where its weights are, or on a device that is given.
    """
    device = device or next(model.parameters()).device
    training = model.training
    model.eval()
    logits = []
    for first in (1, 2):
        documents = [np.full(5, token, dtype=np.int32) for token in (first, 3)]
        batch = packs.collate([join([Sample(input_ids=ids, labels=ids) for ids in documents])], 0)
        inputs = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
            if name != "labels"
        }
        with torch.no_grad():
            logits.append(model(**inputs).logits[0, 5:])
    model.train(training)
    if not torch.equal(*logits):
        raise InvalidConfigError(
            "dataset.packing: this model, with its attention, lets packed records see one another. Set "
            "model.attention: sdpa, or dataset.packing: false"
        )


def computes_now(model: torch.nn.Module, device: torch.device | None) -> bool:
    """Whether the model can be tried before the training begins: its weights are whole (ZeRO-3 shares them
    out), and on the kind of device that it is trained on (DeepSpeed moves them there once it has cast them),
    where alone flash attention runs."""
    weights = list(model.parameters())
    there = device is None or weights[0].device.type == device.type
    return there and not any(hasattr(weight, "ds_id") for weight in weights)


@dataclass
class IsolationTrial(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """The trial before the first step, where it could not be made before: every rank computes the same."""

    packs: PackedDataset

    def on_train_begin(
        self,
        args: TrainingArguments,
        _state: TrainerState,
        _control: TrainerControl,
        model: Any = None,
        **_kwargs: Any,
    ) -> None:
        """Raises `InvalidConfigError`, on all ranks together."""
        check_isolation(model, self.packs, args.device)
