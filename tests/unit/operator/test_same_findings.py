"""One table of jobs, and every route that needs no API server: the same findings, in the same words."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from findings_table import CASES, CEL_CASES, RULES, Case
from finetune_api import Finding, InvalidJobError, check_manifest, parse_job
from finetune_api.validation import errors_in
from finetune_cli.main import main
from finetune_operator.admission import AdmissionRequest, answer, judge, warning_lines
from finetune_operator.decide import decide
from finetune_operator.observation import Observed
from finetune_operator.refusal import described, rejected
from operator_rig import Manifest
from operator_scenes import CONFIG

every_case = pytest.mark.parametrize("case", [*CASES, *CEL_CASES, *RULES], ids=lambda case: case.name)


def findings_of(case: Case) -> list[Finding]:
    return check_manifest(case.manifest)[1]


@every_case
def test_the_validator_finds_what_the_table_says(case: Case) -> None:
    found = {f"{finding.code} {finding.path}" for finding in findings_of(case)}
    assert {*case.errors, *case.advice} <= found
    assert bool(case.errors) == bool(errors_in(findings_of(case)))


@every_case
def test_the_command_line(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(case.manifest))
    status = main(["validate", str(file), "-o", "json"])
    [report] = json.loads(capsys.readouterr().out)
    listed = [
        Finding.from_json_object({"severity": severity, **finding})
        for severity in ("error", "warning", "suggestion")
        for finding in report[f"{severity}s"]
    ]
    assert listed == findings_of(case)
    assert status == (1 if case.errors else 0)


@every_case
def test_the_webhook(case: Case) -> None:
    request = AdmissionRequest(uid="7", operation="CREATE", object=case.manifest)
    response = answer(request, judge(request))["response"]
    assert isinstance(response, dict)
    errors = errors_in(findings_of(case))
    advice = [finding for finding in findings_of(case) if finding not in errors]
    assert response["allowed"] == (not errors)
    assert response.get("warnings", []) == warning_lines(advice)
    for finding in advice:
        assert any(str(finding) in line for line in warning_lines(advice))
    if errors:
        status = response["status"]
        assert isinstance(status, dict)
        assert status["message"] == described(errors)


@every_case
def test_the_reconciler(case: Case) -> None:
    errors = errors_in(findings_of(case))
    stalled = stalled_message(case.manifest)
    assert stalled == (described(errors) if errors else None)
    for finding in errors:
        assert str(finding) in (stalled or "")


def stalled_message(manifest: Manifest) -> str | None:
    """What the operator writes into the condition Stalled, if it does."""
    now = datetime.now(UTC)
    try:
        job = parse_job(manifest)
    except InvalidJobError as invalid:
        metadata = parse_job(CASES[0].manifest).metadata
        plan = rejected(metadata, parse_job(CASES[0].manifest).status, invalid.findings, now)
    else:
        plan = decide(job, Observed(), now, CONFIG)
    stalled = next((c for c in plan.status.conditions if c.type == "Stalled"), None)
    return stalled.message if stalled is not None and stalled.status == "True" else None
