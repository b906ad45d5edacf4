import pytest

from finetune_api.validation import Code, errors_in
from finetune_api.validation.findings import error, suggestion, warning
from finetune_cli.findings import FileReport, PlacedFinding


def test_a_finding_reads_as_field_value_rule_remedy():
    finding = error(Code.CONFLICT, "training.maxSteps", "is too many", "Use 10", 11)
    assert str(finding) == "training.maxSteps: 11 is too many. Use 10."


def test_a_value_that_is_no_scalar_is_not_printed():
    assert str(error(Code.CONFLICT, "a", "is odd", "Remove it", {"b": 1})) == "a: is odd. Remove it."


def test_only_errors_refuse():
    findings = [make(Code.CONFLICT, "a", "b", "c") for make in (warning, error, suggestion)]
    assert [found.severity for found in errors_in(findings)] == ["error"]


def test_a_finding_in_json_has_the_documented_keys():
    finding = error(Code.CONFLICT, "a", "b", "c", 1).to_json_object()
    assert list(finding) == ["severity", "code", "path", "value", "message", "remedy"]


@pytest.mark.parametrize("value", [None, 0, "x", [1, "a"], {"a": None}])
def test_programs_get_the_same_five_keys_from_the_validator_and_the_command_line(value):
    finding = error(Code.CONFLICT, "a.b", "is odd", "Remove it", value)
    five = {"code": "Conflict", "path": "a.b", "value": value, "message": "is odd", "remedy": "Remove it"}
    report = FileReport("job.yaml", [PlacedFinding(finding, None)]).to_json_object()
    assert list(finding.for_machines().items()) == list(five.items())
    assert report["errors"] == [five]


def test_a_truth_value_reads_as_in_yaml():
    assert str(error(Code.CONFLICT, "a", "is odd", "Remove it", True)) == "a: true is odd. Remove it."


def test_what_is_about_no_field_starts_with_its_message():
    assert str(error(Code.WRONG_TYPE, "", "is no job", "Write one")) == "is no job. Write one."
