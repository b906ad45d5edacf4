"""promptCompletion: `prompt` and `completion`, each text or a list of messages; optional `system`, `tools`. A
completion may be the whole conversation, the prompt included."""

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import Conversation, Message, Record
from finetune_trainer.data.formats.base import Format, missing, required_text, structure
from finetune_trainer.data.formats.turns import read_messages, read_tools, require_answer, with_system
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records


def parse(record: Record, columns: ColumnsSpec) -> Conversation:
    """A conversation: the prompt is the user's, or a list of turns; the completion the assistant's.

    Raises `BrokenRecordError`.
    """
    prompt = side(record, columns.prompt or "prompt", columns, text_is="user")
    completion = columns.completion or "completion"
    answer = side(record, completion, columns, text_is="assistant")
    if answer[: len(prompt)] == prompt:
        answer = answer[len(prompt) :]
    require_answer(answer, completion)
    turns = with_system(record, columns.system or "system", (*prompt, *answer))
    return Conversation(record.origin, turns, read_tools(record, columns.tools or "tools"))


def side(record: Record, column: str, columns: ColumnsSpec, *, text_is: str) -> tuple[Message, ...]:
    """The turns in a column: a list of messages, or one text of the user or the assistant.

    Raises `BrokenRecordError`.
    """
    value = record.fields.get(column)
    if value is None:
        raise missing(record, column)
    # text that looks like JSON is still text: only a list of messages is one
    turns = structure(record, column) if _looks_like_messages(value) else value
    if isinstance(turns, list):
        return read_messages(turns, column, columns)
    return (Message("assistant" if text_is == "assistant" else "user", required_text(record, column)),)


def _looks_like_messages(value: object) -> bool:
    return isinstance(value, str) and value.lstrip().startswith('[{"')


FORMAT = Format(name="promptCompletion", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES)
