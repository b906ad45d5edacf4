"""Labels: exactly the assistant's tokens, the end token among them, nothing doubled, whatever the
template."""

import dataclasses
from pathlib import Path

import pytest
from transformers import AddedToken

from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data import rendering
from finetune_trainer.data.examples import Conversation, Document, Example, Message, Origin, Preference
from finetune_trainer.data.rendering import IGNORED, Renderer, Supervise, Tokens
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.model.tokenizers import (
    CHATML,
    PLAIN,
    UNCLOSED,
    Tokenizer,
    complete_tokenizer,
    load_tokenizer,
)

END = "<|endoftext|>"

UNMARKED = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + eos_token + '\n' }}{%- "
    "endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
"""ChatML as most models of the hub have it: it does not say where the answers are."""

SEVERAL_TURNS = Conversation(
    Origin("f", 1),
    (
        Message("system", "be brief"),
        Message("user", "add 1 and 2"),
        Message("assistant", "3"),
        Message("user", "add 2 and 2"),
        Message("assistant", "4"),
    ),
)


@pytest.fixture
def tokenizer(tiny_model: Path) -> Tokenizer:
    model = ModelSpec(path=str(tiny_model))
    return complete_tokenizer(
        load_tokenizer(model, base=str(tiny_model), revision=None), model, use_chat_template=True
    )


def render(
    tokenizer: Tokenizer,
    example: Example = SEVERAL_TURNS,
    *,
    template: str | None = None,
    supervise: Supervise = "answers",
    max_length: int = 1000,
    **preprocessing: object,
) -> Tokens:
    if template is not None:
        tokenizer.chat_template = template
    spec = PreprocessingSpec.from_json_object(preprocessing)
    return Renderer(tokenizer, spec, max_length, supervise)(example)


def supervised(tokenizer: Tokenizer, tokens: Tokens) -> list[str]:
    """The stretches of text that the loss counts."""
    stretches: list[list[int]] = [[]]
    for token, label in zip(tokens.ids.tolist(), tokens.labels.tolist(), strict=True):
        if label == IGNORED:
            stretches.append([])
        else:
            assert label == token
            stretches[-1].append(token)
    return [tokenizer.decode(stretch) for stretch in stretches if stretch]


@pytest.mark.parametrize("template", [CHATML, UNMARKED, PLAIN])
def test_each_answer_with_its_end_token_is_supervised_and_nothing_else(
    tokenizer: Tokenizer, template: str
) -> None:
    tokens = render(tokenizer, template=template)
    assert supervised(tokenizer, tokens) == [f"3{END}", f"4{END}"]


@pytest.mark.parametrize("template", [CHATML, UNMARKED])
def test_the_whole_conversation_is_rendered_once(tokenizer: Tokenizer, template: str) -> None:
    text = tokenizer.decode(render(tokenizer, template=template).ids)
    assert text.rstrip() == (
        f"<|im_start|>system\nbe brief{END}\n<|im_start|>user\nadd 1 and "
        f"2{END}\n<|im_start|>assistant\n3{END}\n<|im_start|>user\nadd 2 and "
        f"2{END}\n<|im_start|>assistant\n4{END}"
    )


@pytest.mark.parametrize("template", [CHATML, UNMARKED])
def test_only_the_last_answer_may_be_supervised(tokenizer: Tokenizer, template: str) -> None:
    tokens = render(tokenizer, template=template, supervise="lastAnswer")
    assert supervised(tokenizer, tokens) == [f"4{END}"]


@pytest.mark.parametrize("default", [CHATML, UNMARKED])
def test_of_several_templates_the_one_without_tools_is_meant(tokenizer: Tokenizer, default: str) -> None:
    alone = render(tokenizer, template=default)
    tokenizer.chat_template = {"default": default, "tool_use": "{% generation %}never{% endgeneration %}"}
    assert render(tokenizer).ids.tolist() == alone.ids.tolist()
    assert supervised(tokenizer, render(tokenizer)) == [f"3{END}", f"4{END}"]


def test_all_tokens_may_be_supervised(tokenizer: Tokenizer) -> None:
    tokens = render(tokenizer, supervise="all")
    assert (tokens.labels == tokens.ids).all()


def test_an_end_token_is_added_where_the_template_has_none(tokenizer: Tokenizer) -> None:
    bare = "{%- for m in messages -%}{{ m['role'] + ': ' + m['content'] + '\n' }}{%- endfor -%}"
    bare += "{%- if add_generation_prompt -%}{{ 'assistant: ' }}{%- endif -%}"
    added = render(tokenizer, template=bare)
    assert supervised(tokenizer, added)[-1].endswith(f"4{END}")
    assert added.ids.tolist().count(tokenizer.eos_token_id) == 1
    left_out = render(tokenizer, template=bare, addEosToken=False)
    assert tokenizer.eos_token_id not in left_out.ids.tolist()


def test_plain_turns_are_closed_unless_the_spec_says_otherwise(tokenizer: Tokenizer) -> None:
    open_ended = render(tokenizer, template=UNCLOSED, addEosToken=False)
    assert supervised(tokenizer, open_ended) == ["3", "4"]
    assert tokenizer.decode(open_ended.ids) == "be brief\nadd 1 and 2\n3\nadd 2 and 2\n4"


def test_a_token_that_joins_prompt_and_answer_is_learned(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens([": Paris", ". "])
    template = "{%- for m in messages -%}{{ m['role'] + ': ' + m['content'] + ' ' }}{%- endfor -%}"
    template += "{%- if add_generation_prompt -%}{{ 'assistant: ' }}{%- endif -%}"
    turns = (Message("user", "capital?"), Message("assistant", "Paris."), Message("user", "why?"))
    tokens = render(tokenizer, Conversation(Origin("f", 1), turns), template=template, addEosToken=False)
    assert supervised(tokenizer, tokens) == [": Paris. "]


def test_a_start_token_is_added_when_asked_for_and_never_doubled(tokenizer: Tokenizer) -> None:
    tokenizer.bos_token = "<|im_start|>"
    with_one = render(tokenizer, template=CHATML, addBosToken=True)
    assert with_one.ids[:2].tolist() != [tokenizer.bos_token_id] * 2
    plain = render(tokenizer, template=PLAIN, addBosToken=True)
    assert plain.ids[0] == tokenizer.bos_token_id
    assert plain.labels[0] == IGNORED
    assert supervised(tokenizer, plain) == [f"3{END}", f"4{END}"]


def test_a_system_prompt_is_given_to_conversations_without_one(tokenizer: Tokenizer) -> None:
    short = Conversation(Origin("f", 1), SEVERAL_TURNS.messages[1:3])
    assert "be kind" in tokenizer.decode(render(tokenizer, short, systemPrompt="be kind").ids)
    assert "be kind" not in tokenizer.decode(render(tokenizer, systemPrompt="be kind").ids)


def test_too_long_a_record_is_cut_and_says_by_how_much(tokenizer: Tokenizer) -> None:
    whole = render(tokenizer)
    cut = render(tokenizer, max_length=20)
    assert len(cut.ids) == len(cut.labels) == 20
    assert cut.cut == len(whole.ids) - 20
    assert (cut.ids == whole.ids[:20]).all()


def test_too_long_a_record_may_end_the_run(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"f, line 1: \d+ tokens, training.maxSequenceLength is 20"):
        render(tokenizer, max_length=20, overlong="fail")


def test_a_template_that_rewrites_earlier_turns_is_refused_with_a_way_out(tokenizer: Tokenizer) -> None:
    rewriting = (
        "{%- for m in messages -%}{{ m['role'] }}:{{ m['content'] if loop.last else '...' }}\n{%- endfor -%}"
        "{%- if add_generation_prompt -%}assistant:{%- endif -%}"
    )
    with pytest.raises(InvalidConfigError, match="turn 3 of f, line 1 is rendered differently"):
        render(tokenizer, template=rewriting)


def test_what_the_limit_cuts_of_the_answers_is_told_apart(tokenizer: Tokenizer) -> None:
    whole, cut = render(tokenizer), render(tokenizer, max_length=20)
    assert whole.cut_supervised == 0
    assert 0 < cut.cut_supervised == whole.supervised - cut.supervised < cut.cut


def test_an_end_of_turn_that_the_template_has_is_enough(tokenizer: Tokenizer) -> None:
    # as in Llama 3: a special token, but not one that the tokenizer names among its own
    tokenizer.add_tokens([AddedToken("<|eot|>", special=True)])
    template = "{%- for m in messages -%}{{ m['role'] + ': ' + m['content'] + '<|eot|>' }}{%- endfor -%}"
    template += "{%- if add_generation_prompt -%}{{ 'assistant: ' }}{%- endif -%}"
    tokens = render(tokenizer, template=template)
    assert supervised(tokenizer, tokens) == ["3<|eot|>", "4<|eot|>"]
    assert tokenizer.eos_token_id not in tokens.ids.tolist()


@pytest.mark.parametrize("template", [None, UNMARKED])
def test_answers_within_the_prompt_of_a_preference_are_not_learned(
    tokenizer: Tokenizer, template: str | None
) -> None:
    given = dataclasses.replace(SEVERAL_TURNS, prompt_turns=4)
    assert supervised(tokenizer, render(tokenizer, given, template=template)) == [f"4{END}"]


def test_a_preference_is_no_sequence_by_itself(tokenizer: Tokenizer) -> None:
    turns = SEVERAL_TURNS.messages
    with pytest.raises(InvalidConfigError, match=r"preferences are for training.stage dpo, rm and kto"):
        render(tokenizer, Preference(Origin("f", 1), turns[:2], turns[2:3], turns[4:]))


def test_a_document_is_supervised_whole_and_closed_by_the_end_token(tokenizer: Tokenizer) -> None:
    tokens = render(tokenizer, Document(Origin("f", 1), "x = 1\n"), supervise="all")
    assert tokenizer.decode(tokens.ids) == f"x = 1\n{END}"
    assert (tokens.labels == tokens.ids).all()


def test_the_first_token_of_a_sequence_is_never_counted(tokenizer: Tokenizer) -> None:
    tokens = render(tokenizer, Document(Origin("f", 1), "x"), supervise="all")
    assert tokens.supervised == len(tokens.ids) - 1
    assert dataclasses.replace(tokens, labels=tokens.labels * 0 + IGNORED).supervised == 0


def test_many_at_a_time_are_as_each_by_itself(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "BATCH", 2)
    renderer = Renderer(tokenizer, PreprocessingSpec(), 20, "answers")
    examples = [SEVERAL_TURNS, Document(Origin("f", 2), "x = 1\n"), SEVERAL_TURNS]
    for tokens, example in zip(renderer.all(examples), examples, strict=True):
        alone = renderer(example)
        assert tokens.ids.tolist() == alone.ids.tolist()
        assert tokens.labels.tolist() == alone.labels.tolist()
        assert (tokens.origin, tokens.cut) == (example.origin, alone.cut)
