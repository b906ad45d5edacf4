"""The registry of data formats: one format, one module, one test.

A format says how files are read into records and how a record becomes an example. To add one, write a module
with a `FORMAT` and name it here.
"""

from finetune_trainer.data.formats import (
    alpaca,
    csv,
    custom,
    messages,
    oasst,
    preference,
    prompt_completion,
    sharegpt,
    text,
)
from finetune_trainer.data.formats.base import Format

_MODULES = (alpaca, csv, custom, messages, oasst, preference, prompt_completion, sharegpt, text)

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}

__all__ = ["FORMATS", "Format"]
