"""Write JSON in which nothing of a stranger's text acts on a terminal, and nothing of it is lost."""

import json
from collections.abc import Mapping
from typing import Any, Final

from finetune_api.printable import unseen

_UNITS: Final = {"Gib": "GiB", "Gbs": "GBs"}
"""What ends the name of a figure, as it is written everywhere else."""


def dump(value: Any) -> str:
    """Return `value` as indented JSON.

    Letters of every script stay as they are. Characters that are not to be seen (escapes, marks that turn the
    direction of writing, halves of characters) are written as `\\uXXXX`.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text.translate({ord(char): json.dumps(char).strip('"') for char in unseen(text)})


def camel_case(value: Any) -> Any:
    """Return `value` with all keys as the API writes them: `memory_gib` becomes `memoryGiB`."""
    if isinstance(value, Mapping):
        return {_camel(key): camel_case(child) for key, child in value.items()}
    return [camel_case(child) for child in value] if isinstance(value, list | tuple) else value


def _camel(name: str) -> str:
    from pydantic.alias_generators import to_camel

    camel = to_camel(name)
    return camel[:-3] + _UNITS.get(camel[-3:], camel[-3:])
