"""The name of tokenised data: equal for equal content and settings, and for nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.dataset import DatasetSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data.cache_key import cache_key
from finetune_trainer.data.rendering import Renderer, Supervise
from finetune_trainer.model.tokenizers import CHATML, complete_tokenizer, load_tokenizer


@pytest.fixture
def key(tiny_model: Path, tmp_path: Path) -> Callable[..., str | None]:
    def make(
        content: str = '{"instruction": "a", "output": "b"}\n',
        template: str = CHATML,
        max_length: int = 64,
        supervise: Supervise = "answers",
        recipe: str = "conversations",
        token: str | None = None,
        ends_with: str | None = None,
        starts_with: str | None = None,
        **fields: Any,
    ) -> str | None:
        path = tmp_path / "train.jsonl"
        path.write_text(content)
        model = ModelSpec(path=str(tiny_model))
        tokenizer = load_tokenizer(model, base=str(tiny_model), revision=None)
        complete_tokenizer(tokenizer, model, use_chat_template=True)
        tokenizer.chat_template = template
        if token is not None:
            tokenizer.add_tokens([token])
        if ends_with is not None:
            tokenizer.eos_token = ends_with
        if starts_with is not None:
            tokenizer.bos_token = starts_with
        spec = DatasetSpec.from_json_object({"train": {"path": str(path)}} | fields)
        renderer = Renderer(tokenizer, spec.preprocessing, max_length, supervise)
        return cache_key(spec, spec.train, str(path), renderer, recipe)

    return make


def test_the_key_is_the_same_for_the_same_data_and_settings(key: Callable[..., str | None]) -> None:
    assert key() == key()
    assert len(key() or "") == 64


@pytest.mark.parametrize(
    "change",
    [
        {"content": '{"instruction": "a", "output": "c"}\n'},
        {"template": CHATML + " "},
        {"max_length": 65},
        {"supervise": "lastAnswer"},
        {"recipe": "documents"},
        {"token": "add"},
        {"ends_with": "<|im_start|>"},
        {"starts_with": "<|im_start|>"},
        {"maxSamples": 1},
        {"format": "messages"},
        {"columns": {"output": "answer"}},
        {"preprocessing": {"addBosToken": True}},
    ],
    ids=json.dumps,
)
def test_whatever_changes_the_tokens_changes_the_key(
    key: Callable[..., str | None], change: dict[str, Any]
) -> None:
    assert key(**change) != key()


def test_what_does_not_change_the_tokens_does_not_change_the_key(key: Callable[..., str | None]) -> None:
    assert key(packing=True, evalSplit=0.1) == key()
