"""The model that methods are applied to."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from finetune_api.model import ModelSpec
from finetune_trainer.model.models import load_base


@pytest.fixture
def model(tiny_model: Path) -> PreTrainedModel:
    return load_base(ModelSpec(path=str(tiny_model)), str(tiny_model), torch.float32)
