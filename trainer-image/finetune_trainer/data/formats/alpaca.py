"""alpaca: `instruction`, optional `input`, `output`, optional `system` and `history` (pairs of prompt and
answer)."""

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Conversation, Message, Record
from finetune_trainer.data.formats.base import Format, json_type, optional_text, required_text, structure
from finetune_trainer.data.formats.turns import with_system
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records


def parse(record: Record, columns: ColumnsSpec) -> Conversation:
    """A conversation that ends with the record's output. Raises `BrokenRecordError`."""
    instruction = required_text(record, columns.instruction or "instruction")
    extra = optional_text(record, columns.input or "input")
    answer = required_text(record, columns.output or "output")
    turns = [
        *_history(record, columns.history or "history"),
        Message("user", f"{instruction}\n\n{extra}" if extra else instruction),
        Message("assistant", answer),
    ]
    return Conversation(record.origin, with_system(record, columns.system or "system", turns))


def _history(record: Record, column: str) -> list[Message]:
    pairs = structure(record, column) or []
    if not isinstance(pairs, list):
        raise BrokenRecordError(
            f"{column!r} must be a list of [prompt, answer] pairs, not {json_type(pairs)}"
        )
    turns: list[Message] = []
    for position, pair in enumerate(pairs, start=1):
        match pair:
            case [str(prompt), str(answer)]:
                turns += [Message("user", prompt), Message("assistant", answer)]
            case _:
                raise BrokenRecordError(f"{column!r}, pair {position} must be [prompt, answer], two texts")
    return turns


FORMAT = Format(name="alpaca", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES)
