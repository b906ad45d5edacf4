"""The model that rewards answers, as it is found and loaded."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from finetune_api.model import ModelSpec
from finetune_trainer.stages import reward_model


def test_the_base_of_an_adapter_is_loaded_in_the_revision_that_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"peft_type": "LORA", "base_model_name_or_path": "me/base", "revision": "0a1b2c"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(told))
    asked: list[tuple[str, str | None]] = []

    def load_base(spec: ModelSpec, place: str, *_arguments: Any, **_options: Any) -> None:
        asked.append((place, spec.revision))

    monkeypatch.setattr(reward_model, "load_base", load_base)
    monkeypatch.setattr(peft.PeftModel, "from_pretrained", lambda _base, place: place)
    cpu = torch.device("cpu")
    assert reward_model._load(str(tmp_path), torch.float32, cpu) == str(tmp_path)
    assert asked == [("me/base", "0a1b2c")]
