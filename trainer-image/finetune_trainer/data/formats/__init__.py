"""The registry of data formats: one format, one module, one test.

A format says how files are read into records and how a record becomes an example. To add one, write a module
with a `FORMAT` and name it here.
"""

from finetune_trainer.data.formats import alpaca, csv, messages, text
from finetune_trainer.data.formats.base import Format

FORMATS: dict[str, Format] = {
    format.name: format for format in (alpaca.FORMAT, csv.FORMAT, messages.FORMAT, text.FORMAT)
}

__all__ = ["FORMATS", "Format"]
