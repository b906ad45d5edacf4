"""A FineTuneJob as it is stored, as far as this version of the operator can read its status.

After a rollback there may be the status of a newer version, with words that this one does not know. They are
left out one by one: a job that has ended stays ended, and one that runs goes on. Without any status at all it
would be trained again.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from finetune_api import FineTuneJobStatus
from finetune_operator.watching.cache import Manifest


def read(raw: Manifest) -> tuple[Manifest, FineTuneJobStatus]:
    """The job without what can't be read of its status, and that status."""
    stored = raw.get("status") or {}
    try:
        return raw, FineTuneJobStatus.from_json_object(stored)
    except ValidationError:
        left = _readable(stored)
        return {**raw, "status": left}, FineTuneJobStatus.from_json_object(left)


def _readable(stored: Mapping[str, Any]) -> dict[str, Any]:
    left = copy.deepcopy(dict(stored))
    while True:
        try:
            FineTuneJobStatus.from_json_object(left)
        except ValidationError as error:
            places = [
                item["loc"][:-1] if item["type"] == "missing" else item["loc"] for item in error.errors()
            ]
            removed = [_remove(left, place) for place in sorted(set(places), key=_from_the_end)]
            if not any(removed):  # what is wrong is a key, say: its whole section goes
                sections = {place[0] for place in places if place} or set(left)
                left = {name: value for name, value in left.items() if name not in sections}
        else:
            return left


def _from_the_end(place: Sequence[int | str]) -> list[tuple[int, str]]:
    """Orders places so that the numbers of those that come later stay true."""
    return [(-key, "") if isinstance(key, int) else (0, key) for key in place]


def _remove(data: Any, place: Sequence[int | str]) -> bool:
    """Take one value out of nested dictionaries and lists. Returns whether it was there."""
    try:
        for key in place[:-1]:
            data = data[key]
        del data[place[-1]]
    except (KeyError, IndexError, TypeError):
        return False
    return True
