"""Prompts become the tokens that training began its sequences with; answers end where they ended there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from finetune_api import ResolvedJob
from finetune_trainer.data.asking import (
    Prompt,
    front,
    job_tokenizer,
    learns_text,
    prompt_ids,
)
from finetune_trainer.data.examples import Conversation, Document, Example, Message, Origin
from finetune_trainer.data.prompts import PromptRenderer
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.model.tokenizers import Tokenizer

Taught = Callable[..., tuple[Tokenizer, Renderer]]
TURNS: Prompt = [{"role": "user", "content": "add 1 and 2"}]
HERE = Origin("f", 1)
FORMATS: dict[str, dict[str, object]] = {
    "sft": {},
    "pretrain": {"format": "text"},
    "sft of text": {"format": "custom", "columns": {"text": "body"}},
}
CONVERSATION = Conversation(HERE, (Message("user", "add 1 and 2"), Message("assistant", "3")))


@pytest.fixture
def taught(make_job: Callable[..., ResolvedJob], tiny_model: Path) -> Taught:
    """The tokenizer of a job, and what renders its records; the base's own may start every text."""

    def make(
        *, starts: bool, stage: str = "sft", own_template: object = None, **preprocessing: object
    ) -> tuple[Tokenizer, Renderer]:
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        tokenizer.add_bos_token = starts
        tokenizer.chat_template = own_template
        asked = {"preprocessing": preprocessing, **FORMATS[stage]}
        spec = make_job({"training": {"stage": stage.split()[0]}, "dataset": asked}).spec
        tokenizer = job_tokenizer(tokenizer, spec)
        supervise = "answers" if stage == "sft" else "all"
        assert learns_text(spec) == (stage != "sft")
        return tokenizer, Renderer(tokenizer, spec.dataset.preprocessing, 200, supervise)

    return make


@pytest.mark.parametrize("starts", [True, False])
@pytest.mark.parametrize("add_bos", [True, False])
@pytest.mark.parametrize(
    ("stage", "template", "prompt", "example"),
    [
        ("sft", True, TURNS, CONVERSATION),
        ("sft", False, TURNS, CONVERSATION),
        ("pretrain", True, "add 1 and 2", Document(HERE, "add 1 and 2")),
        ("sft of text", True, "add 1 and 2", Document(HERE, "add 1 and 2")),
    ],
)
def test_a_prompt_is_what_its_record_began_with(
    taught: Taught,
    tmp_path: Path,
    starts: bool,
    add_bos: bool,
    stage: str,
    template: bool,
    prompt: Prompt,
    example: Example,
) -> None:
    settings = {"addBosToken": add_bos, "useChatTemplate": template}
    tokenizer, renderer = taught(starts=starts, stage=stage, **settings)
    [asked] = prompt_ids(tokenizer, [prompt])
    learned = renderer(example).ids.tolist()
    assert asked == learned[: len(asked)]
    assert tokenizer.decode(learned[len(asked) :]).startswith("3" if stage == "sft" else "")
    assert asked.count(tokenizer.bos_token_id) == add_bos
    if isinstance(example, Conversation):
        drawn = PromptRenderer(tokenizer, renderer.preprocessing, 200, "answers")
        assert drawn(example).ids.tolist() == asked, "as grpo and ppo ask"
    tokenizer.save_pretrained(tmp_path)
    assert prompt_ids(AutoTokenizer.from_pretrained(tmp_path), [prompt]) == [asked], "as others load it"


def test_a_model_of_conversations_goes_on_with_text_as_its_base_did(taught: Taught) -> None:
    for starts in (True, False):
        tokenizer, _ = taught(starts=starts, addBosToken=False)
        assert (front(tokenizer) == [tokenizer.bos_token_id]) is starts


def test_a_template_that_writes_the_start_token_stays_as_it_is(taught: Taught) -> None:
    written = "{% for m in messages %}{{ bos_token if loop.first }}{{ m['content'] }}{% endfor %}"
    tokenizer, _ = taught(starts=False, own_template=written, addBosToken=True)
    assert tokenizer.chat_template == written


def test_plain_text_is_learned_without_an_end_where_none_is_asked_for(taught: Taught) -> None:
    for closes in (True, False):
        tokenizer, renderer = taught(starts=False, useChatTemplate=False, addEosToken=closes)
        learned = renderer(CONVERSATION).ids.tolist()
        assert (tokenizer.eos_token_id in learned) is closes


def test_each_of_several_templates_gets_the_start_token(taught: Taught) -> None:
    several = dict.fromkeys(("default", "tool_use"), "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    tokenizer, _ = taught(starts=False, own_template=several, addBosToken=True)
    for tools in (None, [{"type": "function", "function": {"name": "add", "parameters": {}}}]):
        text = tokenizer.apply_chat_template(TURNS, tools=tools, tokenize=False)
        assert text == "<s>add 1 and 2"


def test_what_the_tokenizer_puts_behind_a_text_is_no_part_of_a_prompt(taught: Taught) -> None:
    tokenizer, _ = taught(starts=False)
    tokenizer.add_eos_token = True
    [asked] = prompt_ids(tokenizer, ["add 1"])
    assert tokenizer.eos_token_id not in asked
