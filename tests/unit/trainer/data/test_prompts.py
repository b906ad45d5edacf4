"""Prompts that a model answers itself: what stands before the last answer, as the chat template shows it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_api import ResolvedJob
from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data import prompts as module
from finetune_trainer.data.examples import Conversation, Message, Origin
from finetune_trainer.data.making import in_memory
from finetune_trainer.data.prompts import PromptDataset
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import complete_tokenizer, load_tokenizer

Prompts = Callable[..., PromptDataset]
ASK, ANSWER = Message("user", "add 1 and 2"), Message("assistant", "3")
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


@pytest.fixture
def renderer(tiny_model: Path) -> Renderer:
    model = ModelSpec(path=str(tiny_model))
    tokenizer = complete_tokenizer(
        load_tokenizer(model, base=str(tiny_model), revision=None), model, use_chat_template=True
    )
    tokenizer.chat_template = (
        "{% for tool in tools or [] %}TOOL {{ tool.function.name }}\n{% endfor %}"
        "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}"
        "{% for call in turn.tool_calls or [] %}[{{ call.function.name }}]{% endfor %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return Renderer(tokenizer, PreprocessingSpec(), 200, "answers")


@pytest.fixture
def prompts(make_job: Callable[..., ResolvedJob]) -> Prompts:
    def made(
        renderer: Renderer, *conversations: Conversation, longest: int = 190, reward: str = "brevity"
    ) -> PromptDataset:
        sampling = {"maxNewTokens": renderer.max_length - longest}
        grpo = {"rewardFunctions": [reward], "groupSize": 2, "sampling": sampling}
        recipe = module.prompts(make_job({"training": {"stage": "grpo", "grpo": grpo}}), renderer)
        return recipe.wrap(in_memory(recipe.make(conversations, 1)))

    return made


def test_a_prompt_is_what_stands_before_the_last_answer(prompts: Prompts, renderer: Renderer) -> None:
    data = prompts(renderer, Conversation(Origin("f", 1), (ASK, ANSWER, ASK, Message("assistant", "4"))))
    text = renderer.tokenizer.decode(data[0]["input_ids"])
    assert text == "user: add 1 and 2\nassistant: 3\nuser: add 1 and 2\nassistant: "
    assert data[0]["expected"] == "4"


def test_turns_come_back_as_they_were(prompts: Prompts, renderer: Renderer) -> None:
    turns = (
        ASK,
        Message("assistant", "", tool_calls=(CALL,)),
        Message("tool", "ünïcode 3", name="add", tool_call_id="7"),
    )
    data = prompts(renderer, Conversation(Origin("f", 1), (*turns, ANSWER)))
    assert data[0]["messages"] == turns


def test_tools_that_may_be_called_are_shown(prompts: Prompts, renderer: Renderer) -> None:
    data = prompts(renderer, Conversation(Origin("f", 1), (ASK, ANSWER), tools=(TOOL,)))
    assert renderer.tokenizer.decode(data[0]["input_ids"]).startswith("TOOL add\nuser: ")
    assert data.collate([data[0], data[1]], 0)["tools"] == [(TOOL,), ()]


def test_prompts_that_leave_no_room_are_left_out_and_counted(prompts: Prompts, renderer: Renderer) -> None:
    long = Conversation(Origin("f", 2), (Message("user", "add " * 90), ANSWER))
    data = prompts(renderer, Conversation(Origin("f", 1), (ASK, ANSWER)), long, longest=60)
    assert (data.facts.records, data.facts.sequences, data.facts.truncated) == (2, 1, 1)
    with pytest.raises(DataError, match=r"1 were longer than .* less sampling\.maxNewTokens \(60\)"):
        prompts(renderer, long, longest=60)


def test_prompts_that_leave_no_room_end_the_run_where_it_is_to_fail(
    prompts: Prompts, renderer: Renderer
) -> None:
    long = Conversation(Origin("f", 2), (Message("user", "add " * 90), ANSWER))
    failing = replace(renderer, preprocessing=PreprocessingSpec(overlong="fail"))
    with pytest.raises(DataError, match=r"^f, line 2: \d+ tokens, .* less sampling\.maxNewTokens is 60\."):
        prompts(failing, long, longest=60)


def test_a_start_token_opens_a_prompt_once_where_it_is_asked_for(
    prompts: Prompts, renderer: Renderer
) -> None:
    start = renderer.tokenizer.bos_token = renderer.tokenizer.eos_token
    asked = replace(renderer, preprocessing=PreprocessingSpec(add_bos_token=True))
    for expected in (f"{start}user: add", f"{start}user: add"):
        text = renderer.tokenizer.decode(
            prompts(asked, Conversation(Origin("f", 1), (ASK, ANSWER)))[0]["input_ids"]
        )
        assert text.startswith(expected)
        renderer.tokenizer.chat_template = "{{ bos_token }}" + renderer.tokenizer.chat_template
    assert text.count(start) == 1


@pytest.mark.parametrize("before", [(), (Message("system", "be kind"),)], ids=["nothing", "system only"])
def test_an_answer_to_nothing_is_named(
    prompts: Prompts, renderer: Renderer, before: tuple[Message, ...]
) -> None:
    with pytest.raises(DataError, match=r"^f, line 7: nothing stands before its last answer"):
        prompts(renderer, Conversation(Origin("f", 7), (*before, ANSWER)))


def test_an_answer_without_text_is_named_where_rewards_compare_with_it(
    prompts: Prompts, renderer: Renderer
) -> None:
    called = Conversation(Origin("f", 7), (ASK, Message("assistant", "", tool_calls=(CALL,))), tools=(TOOL,))
    assert len(prompts(renderer, called)) == 1
    with pytest.raises(DataError, match=r"^f, line 7: its last answer has no text, and contains would"):
        prompts(renderer, called, reward="contains")


def test_a_template_that_refuses_the_jobs_system_prompt_is_an_error_of_the_data(
    prompts: Prompts, renderer: Renderer
) -> None:
    renderer.tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}"
    )
    strict = Renderer(renderer.tokenizer, PreprocessingSpec(system_prompt="Be good."), 200, "lastAnswer")
    with pytest.raises(DataError, match=r"f, line 1: .* System role not supported\. .*systemPrompt"):
        prompts(strict, Conversation(Origin("f", 1), (ASK, ANSWER)))
