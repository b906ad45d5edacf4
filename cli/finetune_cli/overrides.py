"""`--set training.learningRate=1e-4`: one field of the spec, from the command line.

The value is typed as it would be in the file, and the model checks it afterwards, so that a wrong one is
refused with the same finding.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from finetune_cli.errors import CommandError
from finetune_cli.yaml_reader import YamlError, parse_scalar

_PATH = re.compile(r"[A-Za-z][A-Za-z0-9]*(\[\d+\])*(\.[A-Za-z][A-Za-z0-9]*(\[\d+\])*)*")
_PART = re.compile(r"([A-Za-z][A-Za-z0-9]*)|\[(\d+)\]")


class OverrideError(CommandError):
    """A `--set` that can't be applied; the text says why and what to write."""


def apply_overrides(body: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a copy of the FineTuneJob `body` with each `PATH=VALUE` set. PATH starts within `spec`.

    Raises `OverrideError`.
    """
    changed = copy.deepcopy(dict(body))
    for assignment in assignments:
        path, found, text = assignment.partition("=")
        path = path.strip().removeprefix("spec.")
        if not found or not _PATH.fullmatch(path):
            raise OverrideError(f"--set {assignment}: write PATH=VALUE, as in training.learningRate=1e-4")
        try:
            value = parse_scalar(text)
        except YamlError as error:
            raise OverrideError(f"--set {assignment}: {error}; {error.remedy}") from None
        _assign(changed, ["spec", *_parts(path)], value, assignment)
    return changed


def _parts(path: str) -> list[str | int]:
    return [int(index) if index else name for name, index in _PART.findall(path)]


def _assign(target: Any, parts: list[str | int], value: Any, assignment: str) -> None:
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(part, int):
            if not isinstance(target, list) or part >= len(target):
                raise OverrideError(f"--set {assignment}: there is no element [{part}]")
        elif not isinstance(target, dict):
            raise OverrideError(f"--set {assignment}: {part!r} is within a value that has no fields")
        if following is None:
            target[part] = value
        elif isinstance(part, int):
            target = target[part]
        else:
            if target.get(part) is None:
                target[part] = {}
            target = target[part]
