"""Every chat template that a job can name: what it renders, where its answers are, what it refuses."""

from typing import Any

import pytest

from finetune_api.catalog.models import MODELS
from finetune_api.model import ChatTemplateName, ModelSpec, TokenizerSpec, TokenizerTrainSpec
from finetune_trainer.chat_templates import NAMES
from finetune_trainer.data.answers import render_with_answers
from finetune_trainer.data.examples import Origin
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer, complete_tokenizer, train_tokenizer

ORIGIN = Origin("records", 1)

CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]

RENDERED: dict[ChatTemplateName, str] = {
    "chatml": "<|im_start|>system\nBe brief.</s>\n<|im_start|>user\nHi</s>\n"
    "<|im_start|>assistant\n[Hello</s>]\n"
    "<|im_start|>user\nBye</s>\n<|im_start|>assistant\n[See you</s>]\n",
    "plain": "Be brief.\nHi\n[Hello</s>]Bye\n[See you</s>]",
    "llama2": "<s>⟦INST⟧ <<SYS>>\nBe brief.\n<</SYS>>\n\nHi ⟦/INST⟧[ Hello </s>]"
    "<s>⟦INST⟧ Bye ⟦/INST⟧[ See you </s>]",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n[Hello<|eot_id|>]"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n[See you<|eot_id|>]",
    "mistral": "<s>⟦INST⟧ Be brief.\n\nHi⟦/INST⟧[ Hello</s>]⟦INST⟧ Bye⟦/INST⟧[ See you</s>]",
    "gemma": "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
    "<start_of_turn>model\n[Hello<end_of_turn>]\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n[See you<end_of_turn>]\n",
    "phi3": "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n[Hello<|end|>]\n"
    "<|user|>\nBye<|end|>\n<|assistant|>\n[See you<|end|>]\n",
    "phi4": "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
    "<|im_start|>assistant<|im_sep|>[Hello<|im_end|>]<|im_start|>user<|im_sep|>Bye<|im_end|>"
    "<|im_start|>assistant<|im_sep|>[See you<|im_end|>]",
    "qwen": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n[Hello<|im_end|>]\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n[See you<|im_end|>]\n",
    "alpaca": "Be brief.\n\n### Instruction:\nHi\n\n### Response:\n[Hello</s>]\n\n"
    "### Instruction:\nBye\n\n### Response:\n[See you</s>]\n\n",
    "vicuna": "Be brief. USER: Hi ASSISTANT:[ Hello</s>]USER: Bye ASSISTANT:[ See you</s>]",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n[Hello</s>]\n"
    "<|user|>\nBye</s>\n<|assistant|>\n[See you</s>]\n",
}
"""What the conversation becomes, answers in brackets; the brackets of [INST] are doubled here."""


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    tokenizer = train_tokenizer(["a few words of text"] * 3, TokenizerTrainSpec(vocab_size=270))
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    return tokenizer


@pytest.fixture
def tokenizer(trained: Tokenizer, name: ChatTemplateName) -> Tokenizer:
    model = ModelSpec(id="a/b", tokenizer=TokenizerSpec(chat_template_name=name))
    return complete_tokenizer(trained, model, use_chat_template=True)


def marked(tokenizer: Tokenizer, turns: list[dict[str, Any]]) -> str:
    """The conversation as text, with its answers in brackets."""
    text, answers = render_with_answers(tokenizer, turns, (), origin=ORIGIN)
    text = text.replace("[", "⟦").replace("]", "⟧")
    for start, end in reversed(answers):
        text = f"{text[:start]}[{text[start:end]}]{text[end:]}"
    return text


def test_the_table_has_every_template() -> None:
    assert set(RENDERED) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_renders_the_conversation_and_marks_its_answers(
        self, tokenizer: Tokenizer, name: ChatTemplateName
    ) -> None:
        assert marked(tokenizer, CONVERSATION) == RENDERED[name]

    def test_ends_the_prompt_where_the_answer_begins(self, tokenizer: Tokenizer) -> None:
        prompt = tokenizer.apply_chat_template(CONVERSATION[:-1], tokenize=False, add_generation_prompt=True)
        text, answers = render_with_answers(
            tokenizer, CONVERSATION, (), first=len(CONVERSATION) - 1, origin=ORIGIN
        )
        assert prompt == text[: answers[-1][0]]

    def test_does_without_a_system_prompt_and_without_a_start_token(self, tokenizer: Tokenizer) -> None:
        before, tokenizer.bos_token = tokenizer.bos_token, None
        try:
            text = marked(tokenizer, CONVERSATION[1:])
        finally:
            tokenizer.bos_token = before
        assert "Be brief." not in text
        assert "None" not in text
        assert text.count("[") == 2


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("chatml", "plain")])
def test_the_turn_of_a_tool_is_refused_rather_than_left_out(
    tokenizer: Tokenizer, name: ChatTemplateName
) -> None:
    called = {"role": "tool", "content": "7"}
    with pytest.raises(DataError, match=f"the chat template {name} has no place for tools"):
        marked(tokenizer, [*CONVERSATION[:3], called, CONVERSATION[4]])


@pytest.mark.parametrize("name", ["llama2", "mistral", "gemma"])
def test_a_system_prompt_in_the_middle_is_refused_where_it_has_no_place(tokenizer: Tokenizer) -> None:
    turns = [*CONVERSATION[1:3], CONVERSATION[0], *CONVERSATION[3:]]
    with pytest.raises(DataError, match="takes a system prompt at the start only"):
        marked(tokenizer, turns)


@pytest.mark.parametrize(
    ("name", "opening"),
    [("alpaca", "Below is an instruction that describes a task. "), ("vicuna", "A chat between ")],
)
def test_where_nobody_wrote_a_system_prompt_some_forms_have_one(tokenizer: Tokenizer, opening: str) -> None:
    assert marked(tokenizer, CONVERSATION[1:]).startswith(opening)


def test_every_template_that_the_model_catalog_names_is_one_of_them() -> None:
    named = {model.chat_template for model in MODELS} - {None}
    assert named <= set(NAMES)
