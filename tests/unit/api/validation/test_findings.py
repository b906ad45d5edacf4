from finetune_api.validation import Code, errors_in
from finetune_api.validation.findings import error, suggestion, warning


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
