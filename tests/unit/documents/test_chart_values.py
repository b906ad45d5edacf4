"""The chart's schema knows every value, its type, and what `values.yaml` says of it, and nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[3] / "charts/finetune-operator"
VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
FREE = frozenset({"global", "resources", "nodeSelector", "affinity", "tls.certManager.issuerRef"})
"""Values whose contents are Helm's, Kubernetes' or cert-manager's business."""


def described(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of the schema, by its path."""
    for name, below in node.get("properties", {}).items():
        yield f"{path}{name}", below
        yield from described(below, f"{path}{name}.")


def keys(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of the values, by its path."""
    for name, below in values.items():
        yield f"{path}{name}"
        if isinstance(below, dict) and f"{path}{name}" not in FREE:
            yield from keys(below, f"{path}{name}.")


def comments(text: str) -> dict[str, str]:
    """The comment above each key, by the key's path."""
    found: dict[str, str] = {}
    path: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            lines.append(line.lstrip("# ").rstrip())
            continue
        if key := re.match(r"( *)([A-Za-z]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            found[".".join(path)] = " ".join(lines)
        lines = []
    return found


PROPERTIES = dict(described(SCHEMA))


def test_every_value_is_in_the_schema() -> None:
    assert set(keys(yaml.safe_load(VALUES))) <= set(PROPERTIES)


@pytest.mark.parametrize("path", list(keys(yaml.safe_load(VALUES))))
def test_a_value_is_described_as_its_comment_says(path: str) -> None:
    assert PROPERTIES[path]["description"] == comments(VALUES)[path] != ""


def test_every_property_has_a_type_and_a_description() -> None:
    for path, node in PROPERTIES.items():
        assert node.get("description"), path
        definition = node.get("$ref", "").rpartition("/")[2]
        assert "type" in SCHEMA["definitions"].get(definition, node), path


def test_an_object_takes_no_key_that_it_does_not_know() -> None:
    closed = {path for path, node in PROPERTIES.items() if node.get("additionalProperties") is False}
    objects = {path for path, node in PROPERTIES.items() if "properties" in node}
    assert objects == closed
    assert SCHEMA["additionalProperties"] is False
