"""Where the assistant's answers stand in a rendered conversation, for any chat template.

Three ways, the first that holds is taken, and none of them guesses:

1. The template says so itself (`{% generation %}`).
2. What is rendered behind the generation prompt is the answer. That needs a template which renders a turn in
   the same way whether or not more turns follow.
3. The conversation is rendered again with a mark in place of the answer. What stands where the mark stood is
   the answer, and the end of the turn is read off behind the mark. This is for templates that drop earlier
   reasoning, or whose generation prompt already opens it.
"""

import re
from collections.abc import Sequence

from finetune_trainer.data.examples import Json, Origin
from finetune_trainer.data.hidden import refuse_hidden_reasoning, refuse_hidden_tools, refuse_hidden_turns
from finetune_trainer.data.template import REFUSALS, Span, Template
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.model.tokenizers import Tokenizer

GENERATION_BLOCK = re.compile(r"\{%-?\s*generation\b")
MARK = "\u27eaanswer\u27eb"
"""Stands for an answer; made longer until the conversation does not hold it."""


def render_with_answers(
    tokenizer: Tokenizer,
    messages: Sequence[Json],
    tools: Sequence[Json],
    *,
    first: int = 0,
    origin: Origin,
) -> tuple[str, list[Span]]:
    """The conversation as text, and where the answers from message `first` on are: character positions, each
    with the end of its turn.

    Raises `DataError` when the template refuses the conversation or leaves tools or reasoning out of it,
    `InvalidConfigError` when it does not let answers be told from prompts.
    """
    template = Template(tokenizer, tools)
    try:
        if GENERATION_BLOCK.search(template.source):
            text, spans = _in_blocks(template, messages, first, origin)
        else:
            text = template.render(messages)
            spans = _in_turns(template, messages, first, text, origin)
    except REFUSALS as error:
        raise refused(origin, error) from error
    refuse_hidden_turns(template, messages, origin)
    refuse_hidden_tools(template, messages, tools, origin)
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), {})
    refuse_hidden_reasoning([text[start:end] for start, end in spans], last, origin)
    return text, spans


def _in_turns(
    template: "Template", messages: Sequence[Json], first: int, text: str, origin: Origin
) -> list[Span]:
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    spans: list[Span] = []
    for turn in (turn for turn in turns if turn >= first):
        span = _behind_prompt(template, messages, turn, text) or _in_place_of_mark(
            template, messages, turn, text
        )
        if span is None or (spans and span[0] < spans[-1][1]):
            raise InvalidConfigError(
                f"model.tokenizer.chatTemplate: turn {turn + 1} of {origin} is rendered differently when "
                "more turns follow, so that the answer cannot be told from the prompt. Mark answers with {% "
                "generation %} in the template, or set dataset.preprocessing.supervise: lastAnswer"
            )
        spans.append(span)
    return spans


def refused(origin: Origin, error: Exception) -> DataError:
    """What is said of a conversation that makes the chat template raise one of `REFUSALS`."""
    return DataError(
        f"{origin}: the chat template refuses this conversation: {error}. Mend the record, remove "
        "dataset.preprocessing.systemPrompt where it knows no such role, or set model.tokenizer.chatTemplate"
    )


def _in_blocks(
    template: Template, messages: Sequence[Json], first: int, origin: Origin
) -> tuple[str, list[Span]]:
    text, spans = template.marked(messages)
    given = _blocks_of_given_turns(template, messages, first, text, spans)
    if given is None:
        answers = sum(message["role"] == "assistant" for message in messages)
        raise InvalidConfigError(
            f"model.tokenizer.chatTemplate: {len(spans)} generation blocks for {answers} turns of the "
            f"assistant in {origin}, of which only those from turn {first + 1} on are learned, and it cannot "
            "be told which blocks are theirs. Put each turn into one block, or render turns the same way "
            "whatever follows"
        )
    if not spans[given:]:
        behind = f" from turn {first + 1} on" if first else ""
        raise InvalidConfigError(
            f"model.tokenizer.chatTemplate: its generation blocks hold no answer of {origin}{behind}"
        )
    return text, spans[given:]


def _blocks_of_given_turns(
    template: Template, messages: Sequence[Json], first: int, text: str, spans: list[Span]
) -> int | None:
    """How many blocks, of all in the conversation, are of turns before `first`; None where that is not
    certain. A turn may have several (reasoning, content) or none (a call of a tool)."""
    given = sum(message["role"] == "assistant" for message in messages[:first])
    if not given:
        return 0
    before = template.try_marked(messages[:first])
    if before is not None and text.startswith(before[0]) and spans[: len(before[1])] == before[1]:
        return len(before[1])
    answers = sum(message["role"] == "assistant" for message in messages)
    return given if len(spans) == answers else None


def _behind_prompt(template: Template, messages: Sequence[Json], turn: int, text: str) -> Span | None:
    prompt = template.try_render(messages[:turn], prompt=True)
    last = turn == len(messages) - 1
    answered = text if last else template.try_render(messages[: turn + 1])
    if prompt is None or answered is None or not text.startswith(prompt) or not text.startswith(answered):
        return None
    start, end = len(prompt), len(answered.rstrip())
    return (start, end) if start < end else None


def _in_place_of_mark(template: Template, messages: Sequence[Json], turn: int, text: str) -> Span | None:
    if messages[turn].get("tool_calls"):
        return None
    mark = MARK
    while any(mark in str(message.get("content")) for message in messages):
        mark += MARK
    marked = [*messages[:turn], {**messages[turn], "content": mark}, *messages[turn + 1 :]]
    whole, alone = template.try_render(marked), template.try_render(marked[: turn + 1])
    if whole is None or alone is None or whole.count(mark) != 1 or alone.count(mark) != 1:
        return None
    before, after = whole.split(mark)
    closing = alone.split(mark)[1].rstrip()
    fits = text.startswith(before) and text.endswith(after) and len(before) + len(after) <= len(text)
    if not fits or not after.startswith(closing):
        return None
    return len(before), len(text) - len(after) + len(closing)
