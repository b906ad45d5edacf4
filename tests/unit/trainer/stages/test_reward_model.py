"""The model that rewards answers, as it is found and loaded."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from transformers import AutoTokenizer

from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data.examples import Message
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.stages import reward_model
from finetune_trainer.stages.reward_functions import Answer


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


def test_tools_that_could_be_called_are_shown(tiny_model: Path) -> None:
    """A judge that does not know the tools would score a call of one as nonsense."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{% for tool in tools or [] %}TOOL {{ tool.function.name }}\n{% endfor %}"
        "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}"
    )
    seen: list[str] = []

    def score(input_ids: torch.Tensor, **_inputs: Any) -> Any:
        seen.extend(tokenizer.batch_decode(input_ids))
        return SimpleNamespace(logits=torch.ones(len(input_ids), 1))

    judge = reward_model.RewardModel(
        score, Renderer(tokenizer, PreprocessingSpec(), 100, "lastAnswer"), torch.device("cpu")
    )
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    prompts = {
        "messages": [(Message("user", "1 and 2"),), ()],
        "tools": [(tool,), ()],
        "real": torch.tensor([True, False]),
    }
    answers = [Answer("3", "3", 1, 4, ended=True)] * 2
    assert judge.score(prompts, answers).tolist() == [1.0, 0.0]
    assert seen[0].startswith("TOOL add\nuser: 1 and 2\nassistant: 3")
