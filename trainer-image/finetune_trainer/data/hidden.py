"""What a chat template leaves out of a conversation, silently: the model would learn without it, and nobody
would know."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from finetune_trainer.data.examples import Json, Origin
from finetune_trainer.errors import DataError

REMEDY = "Set model.tokenizer.chatTemplate to a template that does, or take it out of the record"


def refuse_hidden_tools(text: str, messages: Sequence[Json], tools: Sequence[Json], origin: Origin) -> None:
    """Raises `DataError` for a tool, or a call of one, whose name is not in the rendered conversation."""
    for what, name in [("tool", name) for name in _names(tools)] + [
        ("call of", name) for message in messages for name in _names(message.get("tool_calls") or ())
    ]:
        # a template that writes JSON may write a letter as an escape
        if name not in text and json.dumps(name)[1:-1] not in text:
            raise DataError(f"{origin}: the chat template does not show the {what} {name!r}. {REMEDY}")


def refuse_hidden_reasoning(answers: Sequence[str], message: Json, origin: Origin) -> None:
    """Raises `DataError` where a turn has reasoning beside its content that is in none of these answers."""
    reasoning = str(message.get("reasoning_content") or "").strip()
    if reasoning and not any(reasoning in answer for answer in answers):
        raise DataError(
            f"{origin}: the chat template does not show the reasoning_content of the last answer as a part "
            f"of it. {REMEDY}"
        )


def _names(functions: Any) -> Iterator[str]:
    for function in functions:
        name = function.get("function", function).get("name")
        if isinstance(name, str):
            yield name
