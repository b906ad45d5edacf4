"""custom: whatever `dataset.columns` says. The columns that are named decide what a record is.

messages                                      a conversation, as in the messages format
chosen, rejected                              a preference
prompt, completion                            as in promptCompletion
promptTemplate, output                        the prompt is the template, with {column} filled in
output with instruction, input or both        as in alpaca
text                                          a document
"""

import re

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import (
    BrokenRecordError,
    Conversation,
    Document,
    Example,
    Message,
    Record,
)
from finetune_trainer.data.formats import messages, preference, prompt_completion
from finetune_trainer.data.formats.base import Format, json_type, missing, optional_text, required_text
from finetune_trainer.data.formats.turns import with_system
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records
from finetune_trainer.errors import InvalidConfigError

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
"""`{column}`; doubled braces stand for themselves. Nothing is evaluated: templates come from strangers."""


def parse(record: Record, columns: ColumnsSpec) -> Example:
    """The example that the named columns make. Raises `BrokenRecordError`, and `InvalidConfigError` when the
    names make none."""
    if columns.messages:
        return messages.parse(record, columns)
    if columns.chosen and columns.rejected:
        return preference.parse(record, columns)
    if columns.prompt and columns.completion:
        return prompt_completion.parse(record, columns)
    if columns.output and (columns.prompt_template or columns.instruction or columns.input):
        return _answered(record, columns, columns.output)
    if columns.text:
        return Document(record.origin, required_text(record, columns.text))
    raise InvalidConfigError(
        "dataset.columns: the columns named make no record of the custom format. Name messages; or output "
        "with promptTemplate, instruction or input; or prompt and completion; or chosen and rejected; or text"
    )


def fill(template: str, record: Record) -> str:
    """The template with `{column}` replaced by the record's values. Raises `BrokenRecordError`."""

    def value(match: re.Match[str]) -> str:
        column = match.group(1)
        if column is None:
            return match.group(0)[0]
        found = record.fields.get(column)
        if found is None:
            if column in record.fields:
                return ""
            raise missing(record, column)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise BrokenRecordError(f"{column!r} must be text or a number, not {json_type(found)}")
        return str(found)

    return PLACEHOLDER.sub(value, template)


def _answered(record: Record, columns: ColumnsSpec, output: str) -> Conversation:
    if columns.prompt_template is not None:
        prompt = fill(columns.prompt_template, record)
    else:
        instruction = required_text(record, columns.instruction) if columns.instruction else None
        extra = optional_text(record, columns.input) if columns.input else None
        prompt = "\n\n".join(part for part in (instruction, extra) if part)
    if not prompt.strip():
        raise BrokenRecordError("the prompt is empty; it must hold text")
    turns = (Message("user", prompt), Message("assistant", required_text(record, output)))
    return Conversation(
        record.origin, with_system(record, columns.system, turns) if columns.system else turns
    )


FORMAT = Format(name="custom", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES)
