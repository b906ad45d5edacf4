"""Golden files: what was decided once, kept as YAML, compared ever after.

`UPDATE_GOLDEN=1 pytest …` writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Block style for texts of several lines, no aliases, list items indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def compare(documents: list[dict[str, Any]], path: Path) -> None:
    """Assert that `documents` are those in `path`, or write them there if that was asked for."""
    text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=110, allow_unicode=True)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing: UPDATE_GOLDEN=1 writes it"
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs: UPDATE_GOLDEN=1 writes it anew"
