"""JSON as records have it, read strictly: what has two meanings, or is no text for a tokenizer, is told."""

import json
import re

HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that is a character only together with another one, as emoji written in ASCII have it."""


class JsonError(Exception):
    """What is wrong, to be said of a file, a line or a column: `is not valid JSON: …`."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line
        """Of the text, from 1; 0 where it is not known."""


def parse_json(text: str) -> object:
    """The value. Raises `JsonError`, also for a key that an object has twice and for numbers that Python
    refuses to read."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise JsonError(f"is not valid JSON: {error.msg} at column {error.colno}", error.lineno) from None
    except RecursionError:
        raise JsonError("is not usable JSON: it is nested too deeply") from None
    except ValueError as error:
        # more than 4,300 digits
        raise JsonError(f"is not usable JSON: {error}") from None


def may_hold_half_pairs(text: str) -> bool:
    """Whether `check_characters` has something to look for in the values of a text."""
    return HALF_PAIR.search(text) is not None


def check_characters(value: object) -> None:
    """Raises `JsonError` for text with half of a surrogate pair, which no encoding can write."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise JsonError(
            f"holds \\u{half:04x} without its other half, which is no character: write the text as UTF-8"
        ) from None
    except RecursionError:
        raise JsonError("is not usable JSON: it is nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonError(f"is not usable JSON: an object has {twice!r} twice")
    return made
