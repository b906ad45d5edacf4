"""A small valid job, and ways to change it."""

from copy import deepcopy
from typing import Any

BASE: dict[str, Any] = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "dates", "namespace": "team", "uid": "0b1c", "generation": 1},
    "spec": {
        "model": {"id": "organisation/model"},
        "dataset": {"train": {"pvc": {"claimName": "data", "path": "train.jsonl"}}},
    },
}

Manifest = dict[str, Any]


def changed(changes: Manifest) -> Manifest:
    """The base manifest with values set at dotted paths below `spec` (or below `metadata.`); None removes."""
    manifest = deepcopy(BASE)
    for path, value in changes.items():
        parts = path.split(".") if path.startswith("metadata.") else ["spec", *path.split(".")]
        node = manifest
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        if value is None:
            node.pop(parts[-1], None)
        else:
            node[parts[-1]] = value
    return manifest
