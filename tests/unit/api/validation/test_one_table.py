"""One table of mistakes, through the validator, the command line and the operator: the same findings."""

import json

import pytest

from finetune_api import InvalidJobError, check_manifest, parse_job
from finetune_api.conditions import ConditionType, Phase
from finetune_api.validation import errors_in
from finetune_cli.main import main
from finetune_operator.decide import decide
from finetune_operator.observation import Observed
from finetune_operator.refusal import rejected
from mistakes import CASES
from operator_scenes import CONFIG, at

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.path}")


@each_case
def test_the_validator_finds_it(case):
    _, findings = check_manifest(case.manifest)
    found = [(finding.severity, finding.code, finding.path) for finding in findings]
    assert (case.severity, case.code, case.path) in found


@each_case
def test_the_command_line_prints_what_the_validator_finds(case, tmp_path, capsys):
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(case.manifest), encoding="utf-8")
    _, findings = check_manifest(case.manifest)
    status = main(["validate", "-o", "json", str(file)])
    [report] = json.loads(capsys.readouterr().out)
    assert report == {
        "file": str(file),
        "valid": not errors_in(findings),
        **{
            f"{severity}s": [found.for_machines() for found in findings if found.severity == severity]
            for severity in ("error", "warning", "suggestion")
        },
    }
    assert status == (1 if errors_in(findings) else 0)


@each_case
def test_the_operator_stalls_a_job_with_errors_and_says_them_all(case):
    _, findings = check_manifest(case.manifest)
    errors = errors_in(findings)
    plan = plan_for(case.manifest)
    assert (plan.status.phase == Phase.STALLED) == bool(errors)
    assert bool(plan.apply) == (not errors)
    if errors:
        message = plan.status.condition(ConditionType.STALLED).message
        assert [str(found) for found in errors if str(found) not in message] == []


def plan_for(manifest):
    try:
        job = parse_job(manifest | {"metadata": manifest["metadata"] | {"uid": "0b1c", "generation": 1}})
    except InvalidJobError as invalid:
        plain = parse_job(CASES[-1].manifest)
        return rejected(plain.metadata, plain.status, invalid.findings, at(0))
    return decide(job, Observed(), at(0), CONFIG)
