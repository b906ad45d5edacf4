"""Trains the model of one resolved job: data, model, training, checkpoints, output.

As a library, for a training loop of one's own data: `Trainer`, `TrainingConfig`, `TransformerConfig`, and the
modules `checkpoint`, `scheduler` and `metrics`; see docs/python-api.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetune_trainer.python_api.config import TrainingConfig
    from finetune_trainer.python_api.settings import TransformerConfig
    from finetune_trainer.python_api.trainer import Trainer

__all__ = ["Trainer", "TrainingConfig", "TransformerConfig"]

_HOMES = {"Trainer": "trainer", "TrainingConfig": "config", "TransformerConfig": "settings"}


def __getattr__(name: str) -> object:
    """Imports torch and transformers only for those who ask for the library (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"finetune_trainer.python_api.{_HOMES[name]}"), name)
