"""sharegpt: `conversations`, a list of turns with `from` (human, gpt, system, function_call, observation) and
`value`; optional `system` and `tools`."""

from typing import Final

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Conversation, Message, Record, Role
from finetune_trainer.data.formats.base import Format, json_type, missing, structure
from finetune_trainer.data.formats.turns import read_tool_calls, read_tools, require_answer, with_system
from finetune_trainer.data.json_text import JsonError, parse_json
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records

ROLES: Final[dict[str, Role]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
}
CALL: Final = "function_call"
"""A turn of the assistant whose value is the call, as JSON."""


def parse(record: Record, columns: ColumnsSpec) -> Conversation:
    """The conversation of a record. Raises `BrokenRecordError`."""
    column = columns.messages or "conversations"
    turns = structure(record, column)
    if turns is None:
        raise missing(record, column)
    if not isinstance(turns, list):
        raise BrokenRecordError(f"{column!r} must be a list of turns, not {json_type(turns)}")
    said = [
        _turn(turn, f"{column}[{position}]", columns.role or "from", columns.content or "value")
        for position, turn in enumerate(turns)
    ]
    require_answer(said, column)
    messages = with_system(record, columns.system or "system", said)
    return Conversation(record.origin, messages, read_tools(record, columns.tools or "tools"))


def _turn(turn: object, where: str, role_key: str, content_key: str) -> Message:
    if not isinstance(turn, dict):
        raise BrokenRecordError(f"{where} must be an object with {role_key!r} and {content_key!r}")
    speaker, value = turn.get(role_key), turn.get(content_key)
    if not isinstance(value, str):
        raise BrokenRecordError(f"{where}.{content_key} must be text, not {json_type(value)}")
    if speaker == CALL:
        return Message("assistant", "", read_tool_calls(_calls(value, where), f"{where}.{content_key}"))
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise BrokenRecordError(
            f"{where}.{role_key} is {speaker!r}; it must be one of {', '.join([*ROLES, CALL])}"
        )
    if role == "assistant" and not value.strip():
        raise BrokenRecordError(f"{where}.{content_key} is empty; an answer must hold text")
    return Message(role, value)


def _calls(value: str, where: str) -> list[object]:
    try:
        calls = parse_json(value)
    except JsonError as error:
        raise BrokenRecordError(f"{where} is a {CALL} that {error}") from error
    if not calls:
        raise BrokenRecordError(f"{where} is a {CALL} that calls nothing")
    return calls if isinstance(calls, list) else [calls]


FORMAT = Format(name="sharegpt", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES)
