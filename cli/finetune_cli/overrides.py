"""`--set training.learningRate=1e-4`: one field of the spec, from the command line.

The value is typed as it would be in the file, and the model checks it afterwards, so that a wrong one is
refused with the same finding. A key with dots in it is quoted, or its dots are escaped by a backslash; null
removes a field; the index after the last one appends to a list.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from finetune_cli.errors import CommandError
from finetune_cli.yaml_checks import MAX_DEPTH
from finetune_cli.yaml_reader import YamlError, parse_scalar

_KEY = r'(?:"[^"]+"|(?:[A-Za-z0-9_/-]|\\.)+)'
_STEP = rf"{_KEY}(?:\[\d+\])*"
_ASSIGNMENT = re.compile(rf"\s*({_STEP}(?:\.{_STEP})*)\s*=(.*)", re.DOTALL)
_PART = re.compile(rf"({_KEY})|\[(\d+)\]")


class OverrideError(CommandError):
    """A `--set` that can't be applied; the text says why and what to write."""


def apply_overrides(body: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a copy of the FineTuneJob `body` with each `PATH=VALUE` set. PATH starts within `spec`.

    Raises `OverrideError`.
    """
    changed = copy.deepcopy(dict(body))
    for assignment in assignments:
        found = _ASSIGNMENT.fullmatch(assignment)
        if found is None:
            raise OverrideError(f"--set {assignment}: write PATH=VALUE, as in training.learningRate=1e-4")
        path, text = found.groups()
        try:
            value = parse_scalar(text)
        except YamlError as error:
            raise OverrideError(f"--set {assignment}: {error}; {error.remedy}") from None
        parts = _parts(path)
        if len(parts) > MAX_DEPTH:
            raise OverrideError(f"--set {parts[0]}.…: the path has over {MAX_DEPTH} parts: name a field")
        _assign(changed, parts if parts[0] == "spec" else ["spec", *parts], value, assignment)
    return changed


def _parts(path: str) -> list[str | int]:
    return [int(index) if index else _unquoted(key) for key, index in _PART.findall(path)]


def _unquoted(key: str) -> str:
    return key[1:-1] if key.startswith('"') else re.sub(r"\\(.)", r"\1", key)


def _assign(target: Any, parts: list[str | int], value: Any, assignment: str) -> None:
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(part, int):
            if not isinstance(target, list) or part > len(target):
                raise OverrideError(f"--set {assignment}: there is no element [{part}]")
            if part == len(target):
                target.append(None)
        elif not isinstance(target, dict):
            raise OverrideError(f"--set {assignment}: {part!r} is within a value that has no fields")
        if following is None:
            _put(target, part, value)
        else:
            target = _entered(target, part, following)


def _put(target: Any, part: str | int, value: Any) -> None:
    if value is None and isinstance(target, dict):
        target.pop(part, None)
    else:
        target[part] = value


def _entered(target: Any, part: str | int, following: str | int) -> Any:
    """Return what stands at `part`; where nothing does, a new list or mapping, as the path goes on."""
    found = target.get(part) if isinstance(target, dict) else target[part]
    if found is None:
        found = target[part] = [] if isinstance(following, int) else {}
    return found
