"""Turns of a conversation as JSON writes them, with tools: shared by the formats that hold conversations."""

from collections.abc import Iterable, Sequence

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import ROLES, BrokenRecordError, Json, Message, Record
from finetune_trainer.data.formats.base import json_type, optional_text, structure
from finetune_trainer.data.json_text import JsonError, parse_json


def read_messages(value: object, where: str, columns: ColumnsSpec) -> tuple[Message, ...]:
    """A list of `{role, content}`, or of the keys that the columns name. Raises `BrokenRecordError`."""
    role_key, content_key = columns.role or "role", columns.content or "content"
    if not isinstance(value, list):
        raise BrokenRecordError(f"{where!r} must be a list of messages, not {json_type(value)}")
    return tuple(
        _message(turn, f"{where}[{position}]", role_key, content_key) for position, turn in enumerate(value)
    )


def with_system(record: Record, column: str, turns: Iterable[Message]) -> tuple[Message, ...]:
    """The turns behind the record's own system prompt, where it has one: one that the turns begin with too is
    said once. Raises `BrokenRecordError` for two that differ, of which the model would be shown both, or one
    be lost."""
    messages, system = tuple(turns), optional_text(record, column)
    if not system:
        return messages
    first = messages[0] if messages else None
    if first is None or first.role != "system":
        return (Message("system", system), *messages)
    if first.content != system:
        raise BrokenRecordError(
            f"{column!r} holds a system prompt, and the turns begin with another one. Remove one of them, or "
            "name another column in dataset.columns.system"
        )
    return messages


def require_answer(messages: Sequence[Message], where: str) -> None:
    """Raises `BrokenRecordError` unless the assistant says something."""
    if not any(message.role == "assistant" for message in messages):
        raise BrokenRecordError(f"{where!r} has no turn of the assistant: there is nothing to learn")


def read_tools(record: Record, column: str) -> tuple[Json, ...]:
    """Tools as JSON schemas, or as text that holds them; none when the column is missing or empty.

    Raises `BrokenRecordError`.
    """
    tools = structure(record, column)
    if tools in (None, "", []):
        return ()
    if not isinstance(tools, list):
        raise BrokenRecordError(f"{column!r} must be a list of tools, not {json_type(tools)}")
    for position, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise BrokenRecordError(f"{column}[{position}] must be an object, not {json_type(tool)}")
        function = tool.get("function", tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BrokenRecordError(f"{column}[{position}] must be a JSON schema of a function with a 'name'")
    return tuple(tools)


def read_tool_calls(value: object, where: str) -> tuple[Json, ...]:
    """Calls in the form that templates take; arguments may be an object or text that holds one.

    Raises `BrokenRecordError`.
    """
    if not value:
        return ()
    if not isinstance(value, list):
        raise BrokenRecordError(f"{where} must be a list of calls, not {json_type(value)}")
    return tuple(_call(call, f"{where}[{position}]") for position, call in enumerate(value))


def _call(call: object, where: str) -> Json:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise BrokenRecordError(f"{where} must be an object with a 'function'")
    name, arguments = function.get("name"), function.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise BrokenRecordError(f"{where} must name the function that is called")
    if isinstance(arguments, str):
        try:
            arguments = parse_json(arguments or "{}")
        except JsonError as error:
            raise BrokenRecordError(f"{where}.arguments is text that {error}") from error
    if not isinstance(arguments, dict):
        raise BrokenRecordError(f"{where}.arguments must be an object, not {json_type(arguments)}")
    identity = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _message(turn: object, where: str, role_key: str, content_key: str) -> Message:
    if not isinstance(turn, dict):
        raise BrokenRecordError(f"{where} must be an object with {role_key!r} and {content_key!r}")
    role = turn.get(role_key)
    if role not in ROLES:
        raise BrokenRecordError(f"{where}.{role_key} is {role!r}; it must be one of {', '.join(ROLES)}")
    calls = read_tool_calls(turn.get("tool_calls"), f"{where}.tool_calls")
    if calls and role != "assistant":
        raise BrokenRecordError(f"{where} calls tools; only the assistant can")
    content = _text(turn.get(content_key), f"{where}.{content_key}", may_be_null=bool(calls))
    if role == "assistant" and not content.strip() and not calls:
        raise BrokenRecordError(f"{where}.{content_key} is empty; an answer must hold text or call a tool")
    name, call_id, reasoning, thinking = (
        _optional(turn, key, where) for key in ("name", "tool_call_id", "reasoning_content", "thinking")
    )
    return Message(role, content, calls, name, call_id, reasoning or thinking or None)


def _text(content: object, where: str, *, may_be_null: bool) -> str:
    if content is None and may_be_null:
        return ""
    if isinstance(content, list):
        parts: list[str] = []
        for position, part in enumerate(content):
            match part:
                case {"type": "text", "text": str(text)}:
                    parts.append(text)
                case _:
                    raise BrokenRecordError(f"{where}[{position}] is no text; only text can be learned")
        return "".join(parts)
    if not isinstance(content, str):
        raise BrokenRecordError(f"{where} must be text, not {json_type(content)}")
    return content


def _optional(turn: dict[str, object], key: str, where: str) -> str | None:
    value = turn.get(key)
    if value is None or isinstance(value, str):
        return value
    raise BrokenRecordError(f"{where}.{key} must be text, not {json_type(value)}")
