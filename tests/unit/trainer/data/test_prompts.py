"""Prompts that a model answers itself: what of a conversation is asked, and what asks nothing."""

from pathlib import Path
from typing import Any

import pytest

from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data.examples import Conversation, Message, Origin
from finetune_trainer.data.prompts import PromptDataset, read_prompts
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.errors import DataError
from finetune_trainer.tokenizers import Tokenizer, complete_tokenizer, load_tokenizer

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{{ message['role'] + ' ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant ' }}{% endif %}"
)
WITH_TOOLS = (
    "{% for tool in tools or [] %}{{ 'add ' + tool['name'] + '\n' }}{% endfor %}"
    "{% for message in messages %}{{ message['role'] + ' ' + message['content'] + '\n' }}{% endfor %}"
)

ASKED = (Message("user", "add 1 and 2"), Message("assistant", "3"))


@pytest.fixture
def tokenizer(tiny_model: Path) -> Tokenizer:
    model = ModelSpec(path=str(tiny_model))
    loaded = load_tokenizer(model, base=str(tiny_model), revision=None)
    return complete_tokenizer(loaded, model, use_chat_template=True)


def read(tokenizer: Tokenizer, template: str, *messages: Message, **settings: Any) -> PromptDataset:
    tools = settings.pop("tools", ())
    tokenizer.chat_template = template
    renderer = Renderer(tokenizer, PreprocessingSpec(**settings), 64, "lastAnswer")
    return read_prompts([Conversation(Origin("f", 1), messages, tools=tools)], renderer, tokenizer, 60)


def test_a_prompt_ends_where_the_answer_begins(tokenizer: Tokenizer) -> None:
    [prompt] = [read(tokenizer, NO_SYSTEM, *ASKED)[0]]
    assert tokenizer.decode(prompt["input_ids"]) == "user add 1 and 2\nassistant "
    assert prompt["expected"] == "3"


def test_tools_are_a_part_of_it(tokenizer: Tokenizer) -> None:
    [prompt] = [read(tokenizer, WITH_TOOLS, *ASKED, tools=({"name": "and"},))[0]]
    assert tokenizer.decode(prompt["input_ids"]).startswith("add and\n")


def test_a_template_that_refuses_the_jobs_system_prompt_is_an_error_of_the_data(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"f, line 1: .* System role not supported\. .*systemPrompt"):
        read(tokenizer, NO_SYSTEM, *ASKED, system_prompt="Be good.")


def test_a_conversation_that_begins_with_its_answer_asks_nothing(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"f, line 1: the record asks nothing"):
        read(tokenizer, NO_SYSTEM, Message("assistant", "3"))
