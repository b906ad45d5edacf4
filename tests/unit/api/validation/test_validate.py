"""What holds for every rule; the rules themselves are tested by section under `rules/`."""

import re
from pathlib import Path

import finetune_api
from finetune_api.validation import Code


def test_a_plain_job_has_no_findings(check):
    assert check({}) == []


def test_errors_come_first(check):
    changes = {"training.learningRate": 0.1, "training.precision": "fp16", "dataset.train": {"path": "/d"}}
    assert [found.severity for found in check(changes)] == ["error", "warning", "suggestion"]


def test_every_code_of_a_rule_is_tested_and_every_code_is_used():
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(finetune_api.__file__).parent.rglob("*.py")
        if path.name != "codes.py"
    )
    tests = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.parent.rglob("test_*.py")
    )
    used = set(re.findall(r"Code\.([A-Z_]+)", source))
    assert used == {code.name for code in Code}
    assert [code.value for code in Code if code.value not in tests] == []
