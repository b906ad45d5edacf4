"""csv: a header line, then a prompt (`instruction` and/or `input`) and an `output` per row; optional
`system`."""

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import BrokenRecordError, Conversation, Message, Record
from finetune_trainer.data.formats.base import Format, optional_text, required_text
from finetune_trainer.data.formats.turns import with_system
from finetune_trainer.data.reading import CSV_SUFFIXES, read_csv_records


def parse(record: Record, columns: ColumnsSpec) -> Conversation:
    """A conversation of one prompt and one answer. Raises `BrokenRecordError`."""
    prompt_columns = _prompt_columns(record, columns)
    parts = [part for column in prompt_columns if (part := optional_text(record, column))]
    if not any(part.strip() for part in parts):
        raise BrokenRecordError(f"{' and '.join(map(repr, prompt_columns))} must hold text; it is empty")
    answer = required_text(record, columns.output or "output")
    turns = [Message("user", "\n\n".join(parts)), Message("assistant", answer)]
    return Conversation(record.origin, with_system(record, columns.system or "system", turns))


def _prompt_columns(record: Record, columns: ColumnsSpec) -> list[str]:
    named = [name for name in (columns.instruction, columns.input) if name]
    wanted = named or [name for name in ("instruction", "input") if name in record.fields]
    missing = [name for name in wanted if name not in record.fields]
    if missing or not wanted:
        lost = ", ".join(map(repr, missing)) or "'input'"
        found = ", ".join(map(str, record.fields))
        raise BrokenRecordError(f"there is no column {lost}; the header has: {found}. See dataset.columns")
    return wanted


FORMAT = Format(name="csv", read=read_csv_records, parse=parse, suffixes=CSV_SUFFIXES)
