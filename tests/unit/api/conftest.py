"""A small valid job, and ways to change it."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from finetune_api import Finding, FineTuneJob, parse_job, validate_job

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

USUAL = ("NoTracker", "NoEvaluation", "NotYetSupported")


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


@pytest.fixture
def make_manifest() -> Callable[..., Manifest]:
    return lambda changes=None: changed(changes or {})


@pytest.fixture
def make_job() -> Callable[..., FineTuneJob]:
    return lambda changes=None: parse_job(changed(changes or {}))


@pytest.fixture
def check() -> Callable[..., list[Finding]]:
    """Findings about the base job with changes, but for those that the plain base job has already, and those
    that only say that something comes later."""

    def findings(changes: Manifest, target: str = "cluster") -> list[Finding]:
        job = parse_job(changed(changes))
        return [found for found in validate_job(job, target) if found.code not in USUAL]

    return findings


@pytest.fixture
def brief(check: Callable[..., list[Finding]]) -> Callable[..., list[tuple[str, str, str]]]:
    """The same, as (severity, code, path)."""
    return lambda changes, target="cluster": [
        (found.severity, found.code, found.path) for found in check(changes, target)
    ]
