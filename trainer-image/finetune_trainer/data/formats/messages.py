"""messages: a list of turns, each with `role` (system, user, assistant, tool) and `content`."""

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import ROLES, BrokenRecordError, Conversation, Message, Record
from finetune_trainer.data.formats.base import Format, json_type
from finetune_trainer.data.reading import JSON_SUFFIXES, read_json_records


def parse(record: Record, columns: ColumnsSpec) -> Conversation:
    """The conversation of a record. Raises `BrokenRecordError`."""
    column = columns.messages or "messages"
    turns = record.fields.get(column)
    if turns is None:
        found = ", ".join(sorted(record.fields)) or "none"
        raise BrokenRecordError(
            f"{column!r} is missing; the record has: {found}. See dataset.columns.messages"
        )
    if not isinstance(turns, list):
        raise BrokenRecordError(f"{column!r} must be a list of messages, not {json_type(turns)}")
    messages = tuple(
        _message(turn, f"{column}[{position}]", columns.role or "role", columns.content or "content")
        for position, turn in enumerate(turns)
    )
    if not any(message.role == "assistant" for message in messages):
        raise BrokenRecordError(f"{column!r} has no turn of the assistant: there is nothing to learn")
    return Conversation(record.origin, messages)


def _message(turn: object, where: str, role_key: str, content_key: str) -> Message:
    if not isinstance(turn, dict):
        raise BrokenRecordError(f"{where} must be an object with {role_key!r} and {content_key!r}")
    role, content = turn.get(role_key), turn.get(content_key)
    if role not in ROLES:
        raise BrokenRecordError(f"{where}.{role_key} is {role!r}; it must be one of {', '.join(ROLES)}")
    if turn.get("tool_calls"):
        raise BrokenRecordError(
            f"{where} calls tools, which the trainer cannot render yet; leave such records out"
        )
    if not isinstance(content, str):
        raise BrokenRecordError(f"{where}.{content_key} must be text, not {json_type(content)}")
    if role == "assistant" and not content.strip():
        raise BrokenRecordError(f"{where}.{content_key} is empty; an answer must hold text")
    return Message(role, content)


FORMAT = Format(name="messages", read=read_json_records, parse=parse, suffixes=JSON_SUFFIXES)
