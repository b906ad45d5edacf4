"""The keys that other programs know, taken from their own classes: names only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = Path(__file__).parents[1] / "unit/cli/foreign/names"


def names_of(program: str) -> set[str]:
    """Names of keys; within sections dotted, within lists as `datasets[].path`."""
    lines = (NAMES / f"{program}.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def unknown_keys(document: dict[str, Any], program: str) -> list[str]:
    """The keys of a configuration that the program does not have."""
    names = names_of(program)
    return sorted({key for key in _keys(document) if key not in names})


FREE = ("lr_scheduler_kwargs", "bnb_config_kwargs", "datasets[].message_property_mappings")
"""Sections whose keys are those of another library."""


def _keys(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, child in value.items():
        name = f"{prefix}{key}"
        yield name.replace("test_datasets[]", "datasets[]")
        if name in FREE:
            continue
        if isinstance(child, dict):
            yield from _keys(child, f"{name}.")
        elif isinstance(child, list):
            for item in child:
                if isinstance(item, dict):
                    yield from _keys(item, f"{name}[].")
