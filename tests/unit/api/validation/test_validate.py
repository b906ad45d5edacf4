"""What holds for every rule; the rules themselves are tested by section under `rules/`."""

import re
from pathlib import Path

import finetune_api
import finetune_operator
from finetune_api.validation import Code


def test_a_plain_job_has_no_findings(check):
    assert check({}) == []


def test_errors_come_first(check):
    changes = {"training.learningRate": 0.1, "training.precision": "fp16", "dataset.train": {"path": "/d"}}
    assert [found.severity for found in check(changes)] == ["error", "warning", "suggestion"]


def test_every_code_of_a_rule_is_tested_and_every_code_is_used():
    packages = (Path(package.__file__).parent for package in (finetune_api, finetune_operator))
    source = "".join(
        path.read_text(encoding="utf-8")
        for package in packages
        for path in package.rglob("*.py")
        if path.name != "codes.py"
    )
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[2].rglob("test_*.py"))
    used = set(re.findall(r"\bCode\.([A-Z_]+)", source))
    assert used == {code.name for code in Code}
    assert [code.value for code in Code if code.value not in tests] == []
