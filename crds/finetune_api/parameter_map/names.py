"""What other programs call the fields of the API: for people who write the name that they know."""

from functools import cache
from typing import Final

from finetune_api.parameter_map import DOCUMENTS
from finetune_api.parameter_map.row import Parameter

_SHORT: Final = {"lr": ("training.learningRate",)}
"""What everybody writes, and no document does."""


def fields_called(name: str) -> tuple[str, ...]:
    """The paths below `spec` that one of the documents calls `name`, in the order of the documents.

    The last part of a dotted name counts; neither case nor `_`, `-` and blanks do.
    """
    return _by_name().get(bare(name), ())


def bare(name: str) -> str:
    """A name without what different ways of writing it do differently."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


@cache
def _by_name() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict(_SHORT)
    for document in DOCUMENTS:
        for row in document.rows:
            if isinstance(row, Parameter):
                key = bare(row.name.rpartition(".")[2])
                found[key] = tuple(dict.fromkeys((*found.get(key, ()), row.field)))
    return found
