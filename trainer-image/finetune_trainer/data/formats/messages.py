"""messages: turns, each with `role` (system, user, assistant, tool) and `content`; optional `system`
and `tools`.

An assistant's turn may call tools (`tool_calls`), a tool's turn answers.
"""

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import Conversation, Record
from finetune_trainer.data.formats.base import Format, missing, structure
from finetune_trainer.data.formats.turns import read_messages, read_tools, require_answer, with_system
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records


def parse(record: Record, columns: ColumnsSpec) -> Conversation:
    """The conversation of a record. Raises `BrokenRecordError`."""
    column = columns.messages or "messages"
    turns = structure(record, column)
    if turns is None:
        raise missing(record, column)
    messages = with_system(record, columns.system or "system", read_messages(turns, column, columns))
    require_answer(messages, column)
    return Conversation(record.origin, messages, read_tools(record, columns.tools or "tools"))


FORMAT = Format(name="messages", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES)
