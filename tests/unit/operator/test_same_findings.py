"""One table of jobs, and every route that needs no API server: the same findings, in the same words.

`tests/integration/operator/test_admission_webhook.py` sends the same table through a real API server.
"""

from pathlib import Path

import pytest

import routes
from findings_table import EVERY_CASE, Case
from finetune_api import Finding, check_manifest
from finetune_api.validation import errors_in
from finetune_operator.deciding.admission import warning_lines
from finetune_operator.deciding.refusal import described

every_case = pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: case.name)


def findings_of(case: Case) -> list[Finding]:
    return check_manifest(case.manifest)[1]


@every_case
def test_the_validator_finds_what_the_table_says(case: Case) -> None:
    found = {f"{finding.code} {finding.path}" for finding in findings_of(case)}
    assert {*case.errors, *case.advice} <= found
    assert bool(case.errors) == bool(errors_in(findings_of(case)))


@every_case
def test_the_command_line(case: Case, tmp_path: Path) -> None:
    status, listed = routes.command_line(case.manifest, tmp_path)
    assert listed == findings_of(case)
    assert status == (1 if case.errors else 0)


@every_case
def test_the_webhook(case: Case) -> None:
    response = routes.webhook(case.manifest)
    errors = errors_in(findings_of(case))
    advice = [finding for finding in findings_of(case) if finding not in errors]
    assert response["allowed"] == (not errors)
    assert response.get("warnings", []) == warning_lines(advice)
    for finding in advice:
        assert any(str(finding) in line for line in warning_lines(advice))
    if errors:
        assert response["status"]["message"] == described(errors)


@every_case
def test_the_reconciler(case: Case) -> None:
    errors = errors_in(findings_of(case))
    stalled = routes.reconciler(case.manifest)
    assert stalled == (described(errors) if errors else None)
    for finding in errors:
        assert str(finding) in (stalled or "")
