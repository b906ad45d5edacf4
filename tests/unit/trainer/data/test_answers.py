"""Answers are found exactly in templates as the hub's models have them, none of which marks its answers."""

from pathlib import Path
from typing import Any

import pytest

from finetune_api.model import ModelSpec
from finetune_trainer.chat_templates import chat_template
from finetune_trainer.data.answers import MARK, render_with_answers
from finetune_trainer.data.examples import Origin
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.model.tokenizers import Tokenizer, load_tokenizer

CHATML = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
LLAMA_3 = (
    "{{- '<|begin_of_text|>' }}{%- for m in messages -%}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}"
)
GEMMA_3 = (
    "{{ '<bos>' }}{%- if messages[0]['role'] == 'system' -%}"
    "{%- set first = messages[0]['content'] + '\n\n' -%}"
    "{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first = '' -%}"
    "{%- set loop_messages = messages -%}{%- endif -%}"
    "{%- for m in loop_messages -%}"
    "{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{%- endif -%}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ first if loop.first else '' }}"
    "{{ m['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
MISTRAL = (
    "{{ '<s>' }}{%- set ns = namespace(system='') -%}{%- for m in messages -%}"
    "{%- if m['role'] == 'system' -%}{%- set ns.system = m['content'] + '\n\n' -%}"
    "{%- elif m['role'] == 'user' -%}{{ '[INST] ' + ns.system + m['content'] + ' [/INST]' }}"
    "{%- set ns.system = '' -%}"
    "{%- else -%}{{ ' ' + m['content'] | trim + '</s>' }}{%- endif -%}{%- endfor -%}"
)
QWEN_3 = (
    "{%- set ns = namespace(last=0) -%}"
    "{%- for m in messages -%}{%- if m['role'] == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}"
    "{%- endfor -%}{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{%- if m['role'] == 'assistant' and loop.index0 > ns.last -%}{{ '<think>\n\n</think>\n\n' }}"
    "{%- endif -%}"
    "{{ m['content'] + '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
"""Only the answer to the last question opens with its reasoning."""
DEEPSEEK_R1 = (
    "{%- for m in messages -%}{%- if m['role'] == 'assistant' -%}{{ '<A>' + m['content'] + '<end>' }}"
    "{%- else -%}{{ '<U>' + m['content'] }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<A><think>\n' }}{%- endif -%}"
)
"""Its generation prompt opens a reasoning that answers in the history do not have."""

TEMPLATES = {
    "chatml": (CHATML, ["3<|im_end|>", "4 <|im_end|>"]),
    "llama3": (LLAMA_3, ["3<|eot_id|>", "4<|eot_id|>"]),
    "gemma3": (GEMMA_3, ["3<end_of_turn>", "4<end_of_turn>"]),
    "mistral": (MISTRAL, [" 3</s>", " 4</s>"]),
    "qwen3": (QWEN_3, ["3<|im_end|>", "<think>\n\n</think>\n\n4 <|im_end|>"]),
    "deepseek": (DEEPSEEK_R1, ["3<end>", "4 <end>"]),
}

TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "add 1 and 2"},
    {"role": "assistant", "content": "3"},
    {"role": "user", "content": "is 3 more than 2? add 2 and 2"},
    {"role": "assistant", "content": "4 "},
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return load_tokenizer(ModelSpec(path=str(tiny_model)), base=str(tiny_model), revision=None)


def answers(
    tokenizer: Tokenizer,
    template: str,
    turns: list[dict[str, Any]] = TURNS,
    *,
    tools: tuple[dict[str, object], ...] = (),
    first: int = 0,
) -> list[str]:
    tokenizer.chat_template = template
    text, spans = render_with_answers(tokenizer, turns, tools, first=first, origin=Origin("f", 1))
    assert text == tokenizer.apply_chat_template(turns, tools=list(tools) or None, tokenize=False)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_answer_is_found_with_the_end_of_its_turn_and_nothing_else(
    tokenizer: Tokenizer, name: str
) -> None:
    template, expected = TEMPLATES[name]
    assert answers(tokenizer, template) == expected
    assert answers(tokenizer, template, first=3) == expected[-1:]


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answer_that_repeats_the_question_is_found_where_it_stands(
    tokenizer: Tokenizer, name: str
) -> None:
    template, expected = TEMPLATES[name]
    turns = [{**turn, "content": "same"} for turn in TURNS]
    wanted = [text.replace("3", "same").replace("4 ", "same").replace("4", "same") for text in expected]
    assert answers(tokenizer, template, turns) == wanted


def test_a_conversation_that_the_assistant_opens_has_its_first_answer_too(tokenizer: Tokenizer) -> None:
    assert answers(tokenizer, CHATML, TURNS[2:]) == TEMPLATES["chatml"][1]


def test_an_answer_that_holds_the_mark_itself_is_found(tokenizer: Tokenizer) -> None:
    turns = [*TURNS[1:2], {"role": "assistant", "content": f"a {MARK} b"}]
    assert answers(tokenizer, DEEPSEEK_R1, turns) == [f"a {MARK} b<end>"]


def test_calls_of_tools_are_answers_and_what_tools_say_is_not(tokenizer: Tokenizer) -> None:
    template = (
        "{%- if tools -%}{{ 'TOOLS ' + (tools | map(attribute='function.name') | join(',')) + '\n' }}"
        "{%- endif -%}"
        "{%- for m in messages -%}{{ '<' + m['role'] + '>' + m['content'] }}"
        "{%- for c in m['tool_calls'] or [] -%}{{ '[' + c['function']['name'] + ' ' }}"
        "{{- c['function']['arguments'] | tojson }}{{ ']' }}{%- endfor -%}{{ '</>' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<assistant>' }}{%- endif -%}"
    )
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "name": "add"},
        {"role": "assistant", "content": "two"},
    ]
    tool: dict[str, object] = {"type": "function", "function": {"name": "add", "parameters": {}}}
    assert answers(tokenizer, template, turns, tools=(tool,)) == ['[add {"a": 1}]</>', "two</>"]


ADD: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {}}}
CALLED: list[dict[str, Any]] = [
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "", "tool_calls": [ADD]},
    {"role": "tool", "content": "2"},
    {"role": "assistant", "content": "two"},
]


@pytest.mark.parametrize("template", [CHATML, chat_template("chatml"), chat_template("plain")])
@pytest.mark.parametrize(
    ("turns", "tools", "what"), [(TURNS, (ADD,), "the tool 'add'"), (CALLED, (), "the call of 'add'")]
)
def test_tools_that_the_template_leaves_out_are_named(
    tokenizer: Tokenizer,
    template: str,
    turns: list[dict[str, Any]],
    tools: tuple[dict[str, object], ...],
    what: str,
) -> None:
    """ChatML, which a tokenizer without a template gets, left them out: a call was learned as an empty
    answer. That somebody speaks of adding shows no tool."""
    with pytest.raises(DataError, match=rf"^f, line 1: the chat template does not show {what}\. Set model\."):
        answers(tokenizer, template, turns, tools=tools)


def test_a_turn_that_the_template_passes_over_is_named(tokenizer: Tokenizer) -> None:
    """A system prompt that the model never sees, or what a tool said."""
    deaf = (
        "{%- for m in messages if m['role'] in ['user', 'assistant'] -%}"
        "{{ '<' + m['role'] + '>' + m['content'] + '</>' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<assistant>' }}{%- endif -%}"
    )
    assert answers(tokenizer, deaf, TURNS[1:]) == ["3</>", "4 </>"]
    with pytest.raises(DataError, match=r"^f, line 1: the chat template does not show turn 1 \(system\)\. "):
        answers(tokenizer, deaf, TURNS)
    with pytest.raises(DataError, match=r"does not show turn 3 \(tool\)"):
        answers(tokenizer, deaf, CALLED)


THINKING = (
    "{%- for m in messages -%}{{ '<' + m['role'] + '>' }}"
    "{%- if m['reasoning_content'] and loop.last -%}{{ '<think>' + m['reasoning_content'] + '</think>' }}"
    "{%- endif -%}{{ m['content'] + '</>' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<assistant>' }}{%- endif -%}"
)


def test_reasoning_beside_the_content_is_learned_where_the_template_shows_it(tokenizer: Tokenizer) -> None:
    turns = [{**turn, "reasoning_content": "hm"} if turn["role"] == "assistant" else turn for turn in TURNS]
    assert answers(tokenizer, THINKING, turns) == ["3</>", "<think>hm</think>4 </>"]
    with pytest.raises(DataError, match=r"does not show the reasoning_content of the last answer"):
        answers(tokenizer, CHATML, turns)


def test_a_conversation_that_the_template_refuses_is_named_with_what_the_template_says(
    tokenizer: Tokenizer,
) -> None:
    with pytest.raises(DataError, match=r"f, line 1: the chat template refuses .* roles must alternate"):
        answers(tokenizer, GEMMA_3, [*TURNS[1:2], *TURNS[1:]])


def test_a_template_that_shows_an_answer_only_in_part_is_refused_with_a_way_out(tokenizer: Tokenizer) -> None:
    shortening = (
        "{%- for m in messages -%}{{ m['role'] }}:{{ m['content'] if loop.last else '...' }}\n{%- endfor -%}"
        "{%- if add_generation_prompt -%}assistant:{%- endif -%}"
    )
    with pytest.raises(InvalidConfigError, match="turn 3 of f, line 1 is rendered differently"):
        answers(tokenizer, shortening)


BLOCKS = (
    "{%- for m in messages -%}<{{ m['role'] }}>"
    "{%- if m['role'] == 'assistant' -%}"
    "{%- if m['thought'] -%}{% generation %}{{ m['thought'] }}{% endgeneration %}{{ '|' }}{%- endif -%}"
    "{%- if m['tool_calls'] -%}{{ '[' + m['tool_calls'][0]['function']['name'] + ']' }}"
    "{%- else -%}{% generation %}{{ m['content'] }}{{ '</>' }}{% endgeneration %}{%- endif -%}"
    "{%- else -%}{{ m['content'] }}{%- endif -%}{%- endfor -%}"
)
"""Reasoning and answer are two blocks, and a call of a tool stands in none."""
CALLING: list[dict[str, Any]] = [
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "", "tool_calls": [ADD]},
    {"role": "tool", "content": "2"},
    {"role": "assistant", "content": "two", "thought": "so"},
    {"role": "user", "content": "r"},
    {"role": "assistant", "content": "four", "thought": "hm"},
]


def test_of_a_template_with_several_blocks_in_a_turn_all_are_answers(tokenizer: Tokenizer) -> None:
    assert answers(tokenizer, BLOCKS, CALLING) == ["so", "two</>", "hm", "four</>"]


@pytest.mark.parametrize(
    ("first", "expected"),
    [(1, ["so", "two</>", "hm", "four</>"]), (3, ["so", "two</>", "hm", "four</>"]), (5, ["hm", "four</>"])],
)
def test_blocks_of_given_turns_are_told_from_the_others_however_many_a_turn_has(
    tokenizer: Tokenizer, first: int, expected: list[str]
) -> None:
    assert answers(tokenizer, BLOCKS, CALLING, first=first) == expected


def test_as_many_blocks_as_turns_need_not_be_one_for_each(tokenizer: Tokenizer) -> None:
    assert answers(tokenizer, BLOCKS, CALLING[:4], first=3) == ["so", "two</>"]


def test_a_turn_to_be_learned_that_stands_in_no_block_is_refused(tokenizer: Tokenizer) -> None:
    turns = [*CALLING[3:5], CALLING[1]]
    with pytest.raises(InvalidConfigError, match="hold no answer of f, line 1 from turn 3 on"):
        answers(tokenizer, BLOCKS, turns, first=2)


def test_blocks_that_cannot_be_given_to_turns_are_refused_with_a_way_out(tokenizer: Tokenizer) -> None:
    counting = "{{ messages | length }}" + BLOCKS
    with pytest.raises(
        InvalidConfigError, match="4 generation blocks for 3 turns of the assistant in f, line 1"
    ):
        answers(tokenizer, counting, CALLING, first=5)
    # with one block in each turn it is certain all the same
    assert answers(tokenizer, counting, TURNS, first=3) == ["4 </>"]
