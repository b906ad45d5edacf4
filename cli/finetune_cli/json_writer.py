"""Write JSON in which nothing of a stranger's text acts on a terminal, and nothing of it is lost."""

import json
from typing import Any

from finetune_api.printable import unseen


def dump(value: Any) -> str:
    """Return `value` as indented JSON.

    Letters of every script stay as they are. Characters that are not to be seen (escapes, marks that turn the
    direction of writing, halves of characters) are written as `\\uXXXX`.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text.translate({ord(char): json.dumps(char).strip('"') for char in unseen(text)})
