"""Jobs made by changing a small valid one, and findings about them."""

from collections.abc import Callable

import pytest

from finetune_api import Finding, FineTuneJob, parse_job, validate_job
from manifests import Manifest, changed

USUAL = ("NoTracker", "NoEvaluation", "NotYetSupported")


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
