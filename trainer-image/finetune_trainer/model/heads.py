"""What stands on top of the transformer: the next token, or a score for the whole text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification


@dataclass(frozen=True)
class Head:
    """How a model with this head is loaded, adapted and tried."""

    loader: Any
    """The transformers class that loads it."""
    task: str
    """PEFT's name of what it computes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Configuration that loading sets."""
    fresh: tuple[str, ...] = ()
    """How the names of weights begin that a base model does not have: they start at random."""
    generates: bool = True
    extra: tuple[str, ...] = ()
    """Modules that training adds to the model, and the output does not have."""


class ValueHead(torch.nn.Module):
    """What is expected of each position of the last hidden states; nothing at the start."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(hidden_size))
        # of one dimension: DeepSpeed can't share out a number without any
        self.offset = torch.nn.Parameter(torch.zeros(1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """From (rows, tokens, hidden size) to (rows, tokens)."""
        return hidden.to(self.weight.dtype) @ self.weight + self.offset


def add_extra(model: Any, head: Head) -> None:
    """Gives a loaded model the modules that training needs beside its head."""
    for name in head.extra:
        setattr(model, name, ValueHead(model.config.get_text_config().hidden_size).to(model.device))


def remove_extra(model: Any, head: Head) -> None:
    """Takes them away again, also from an adapter's configuration, before the output is written."""
    for name in head.extra:
        whole = model.get_base_model() if hasattr(model, "peft_config") else model
        delattr(whole, name)
        for config in getattr(model, "peft_config", {}).values():
            config.modules_to_save = [other for other in config.modules_to_save if other != name] or None


LANGUAGE = Head(AutoModelForCausalLM, task="CAUSAL_LM")
VALUED = Head(AutoModelForCausalLM, task="CAUSAL_LM", extra=("value_head",))
SCORE = Head(
    AutoModelForSequenceClassification,
    task="SEQ_CLS",
    settings={"num_labels": 1},
    fresh=("score.",),
    generates=False,
)
