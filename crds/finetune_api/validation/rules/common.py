"""Checks that several sections need: paths, patterns, quantities, exactly one of several fields."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from pydantic import BaseModel

from finetune_api import deepspeed
from finetune_api.job import FineTuneJobSpec, processes_per_node
from finetune_api.rule import exactly_one as one_of
from finetune_api.rule import found
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import value_at
from finetune_api.validation.findings import Finding, broken, error

_UNITS: Final = {
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
}


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: cores, or bytes."""
    number = text.rstrip("mkKMGTPi")
    return float(number) * _UNITS[text[len(number) :]]


def exactly_one(model: BaseModel, path: str, fields: Sequence[str], what: str) -> Iterator[Finding]:
    """An error unless exactly one of the fields is set, in the words of the CEL rule for the same fields."""
    present = [field for field in fields if value_at(model, field) is not None]
    if len(present) != 1:
        words = {"found": found(present)}
        yield broken(Code.NOT_EXACTLY_ONE, one_of(what, fields), where=path, words=words)


def absolute_path(path: str, field: str) -> Iterator[Finding]:
    """An error unless the path is absolute and stays where it points."""
    if not path.startswith("/"):
        yield error(
            Code.UNSAFE_PATH,
            field,
            "must be an absolute path in the pod",
            "Mount a volume with resources.volumes and write the path below its mountPath",
            path,
        )
    yield from _clean(path, field)


def relative_path(path: str, field: str) -> Iterator[Finding]:
    """An error unless the path is relative and stays inside its volume."""
    if path.startswith("/"):
        yield error(
            Code.UNSAFE_PATH,
            field,
            "must be relative to the volume's root",
            f"Write {path.lstrip('/') or 'a directory name'}",
            path,
        )
    yield from _clean(path, field)


def _clean(path: str, field: str) -> Iterator[Finding]:
    if ".." in PurePosixPath(path).parts:
        yield error(
            Code.UNSAFE_PATH, field, "must not contain ..", "Write the path without going upwards", path
        )
    if any(ord(character) < 32 for character in path):
        yield error(Code.UNSAFE_PATH, field, "must not contain control characters", "Remove them", repr(path))


def inside(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies below it."""
    return PurePosixPath(directory) in (PurePosixPath(path), *PurePosixPath(path).parents)


def pattern(text: str | None, field: str) -> Iterator[Finding]:
    """An error unless the text is a regular expression."""
    if text is None:
        return
    try:
        re.compile(text)
    except re.error as broken:
        yield error(
            Code.INVALID_PATTERN,
            field,
            f"is not a regular expression: {broken}",
            "Correct it; a literal dot is written as \\.",
            text,
        )


def patterns(texts: Sequence[str], field: str) -> Iterator[Finding]:
    """An error for each text that is not a regular expression."""
    for index, text in enumerate(texts):
        yield from pattern(text, f"{field}[{index}]")


def uses_deepspeed(spec: FineTuneJobSpec) -> bool:
    """Whether DeepSpeed runs the job on all the ranks that it asks for."""
    return deepspeed.uses_deepspeed(spec.distributed, spec.distributed.nodes * processes_per_node(spec))
