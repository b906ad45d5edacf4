"""What a chat template leaves out of a conversation, silently: the model would learn without it, and nobody
would know."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from finetune_trainer.data.examples import Json, Origin
from finetune_trainer.data.template import Template
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer

REMEDY = "Set model.tokenizer.chatTemplate to a template that does, or take it out of the record"


def refuse_hidden_turns(template: Template, messages: Sequence[Json], origin: Origin) -> None:
    """Raises `DataError` for a turn of somebody else than the assistant that is not in the rendered
    conversation: a system prompt, say, that a template passes over."""
    roles = tuple(str(message["role"]) for message in messages)
    hidden = _hidden_turn(template.tokenizer, str(template.tokenizer.chat_template), roles)
    if hidden is not None:
        raise DataError(
            f"{origin}: the chat template does not show turn {hidden + 1} ({roles[hidden]}). {REMEDY}"
        )


@lru_cache(maxsize=1024)
def _hidden_turn(tokenizer: Tokenizer, _template: str, roles: tuple[str, ...]) -> int | None:
    """The first turn that the template does not show of a conversation of these roles; None where it shows
    all, or cannot render such a conversation without its calls of tools."""
    marked: list[Json] = [{"role": role, "content": _mark(turn)} for turn, role in enumerate(roles)]
    text = Template(tokenizer, ()).try_render(marked)
    others = [turn for turn, role in enumerate(roles) if role != "assistant"]
    return None if text is None else next((turn for turn in others if _mark(turn) not in text), None)


def refuse_hidden_tools(
    template: Template, messages: Sequence[Json], tools: Sequence[Json], origin: Origin
) -> None:
    """Raises `DataError` for a tool, or a call of one, that is not in the rendered conversation.

    The conversation is rendered with other names in the place of theirs, since a name like `search` may stand
    in it anyway.
    """
    names: list[str] = []
    marked_tools = _renamed(tools, "tool", names)
    marked = [
        {**message, "tool_calls": _renamed(message["tool_calls"], "call of", names)}
        if message.get("tool_calls")
        else message
        for message in messages
    ]
    text = Template(template.tokenizer, marked_tools).try_render(marked) if names else None
    if text is None:
        return
    for number, name in enumerate(names):
        if _mark(number) not in text:
            raise DataError(f"{origin}: the chat template does not show the {name}. {REMEDY}")


def refuse_hidden_reasoning(answers: Sequence[str], message: Json, origin: Origin) -> None:
    """Raises `DataError` where a turn has reasoning beside its content that is in none of these answers."""
    reasoning = str(message.get("reasoning_content") or "").strip()
    if reasoning and not any(reasoning in answer for answer in answers):
        raise DataError(
            f"{origin}: the chat template does not show the reasoning_content of the last answer as a part "
            f"of it. {REMEDY}"
        )


def _renamed(functions: Any, what: str, names: list[str]) -> list[Json]:
    """Tools, or calls, under marks; what each mark stands for is added to the names."""
    renamed = []
    for function in functions:
        nested = "function" in function
        inner = function["function"] if nested else function
        other = {**inner, "name": _mark(len(names))}
        names.append(f"{what} {inner['name']!r}")
        renamed.append({**function, "function": other} if nested else other)
    return renamed


def _mark(number: int) -> str:
    return f"mark_{number}_"
