"""The model that rewards answers, as it is found and loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from transformers import AutoTokenizer

from finetune_api import ResolvedJob
from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.chat_templates import chat_template
from finetune_trainer.data.examples import Message
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.errors import InvalidConfigError
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


def test_a_conversation_is_scored_whole_or_not_at_all(
    make_job: Callable[..., ResolvedJob], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tokenizer may need more tokens than `training.maxSequenceLength`, by which the policy's were
    counted: the answer's end was once cut off before it was judged."""
    seen: list[int] = []

    class Judge(torch.nn.Linear):
        config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(max_position_embeddings=80))

        def forward(self, input_ids: torch.Tensor, **_inputs: Any) -> Any:
            seen.append(input_ids.shape[1])
            return SimpleNamespace(logits=torch.ones(len(input_ids), 1))

    monkeypatch.setattr(reward_model, "_load", lambda *_: Judge(1, 1))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = chat_template("plain")
    ppo = {"rewardModelPath": str(tiny_model), "sampling": {"maxNewTokens": 4}}
    job = make_job({"training": {"stage": "ppo", "ppo": ppo, "maxSequenceLength": 16}})
    setting: Any = SimpleNamespace(
        job=job,
        precision="fp32",
        tokenizer=tokenizer,
        accelerator=SimpleNamespace(device=torch.device("cpu")),
    )
    assert job.spec.training.ppo is not None
    judge = reward_model.load_reward_model(setting, job.spec.training.ppo)

    def score(answer: str) -> list[float]:
        prompts = {"messages": [(Message("user", "q"),)], "tools": [()], "real": torch.tensor([True])}
        return judge.score(prompts, [Answer(answer, "", 1, 4, ended=True)]).tolist()

    assert score("~" * 40) == [1.0]
    assert seen[0] > 40
    with pytest.raises(InvalidConfigError, match=r"^training\.ppo: the reward model has 80 positions, and"):
        score("~" * 100)
