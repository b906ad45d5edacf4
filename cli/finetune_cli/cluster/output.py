"""Jobs in the form that was asked for: the API server's own columns, names, JSON or YAML."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_api.printable import printable
from finetune_cli import json_writer, yaml_writer
from finetune_cli.tables import aligned


def name_of(item: Mapping[str, Any]) -> str:
    """Return `finetunejob.finetune.dev/NAME`, which kubectl takes too; of a preset, its kind's."""
    return f"{item['kind'].lower()}.finetune.dev/{item['metadata']['name']}"


def table_lines(table: Mapping[str, Any], *, wide: bool) -> list[str]:
    """Return the lines of an API server's Table; `wide` also shows columns of lower priority."""
    columns = [
        (index, column["name"])
        for index, column in enumerate(table["columnDefinitions"])
        if wide or not column.get("priority")
    ]
    rows = [[name.upper() for _, name in columns]]
    for row in table["rows"]:
        rows.append([printable(_cell(row["cells"][index])) for index, _ in columns])
    return aligned(rows)


def print_object(value: Mapping[str, Any], output: str) -> None:
    """Print an object as JSON or YAML."""
    if output == "json":
        print(json_writer.dump(value))
    else:
        print(yaml_writer.dump(value), end="")


def as_list(jobs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return one job as it is, and several as a List."""
    return jobs[0] if len(jobs) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(jobs)}


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
