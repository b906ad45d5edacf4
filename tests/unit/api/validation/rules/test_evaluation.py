import pytest

from finetune_api import parse_job, validate_job

PATH = "evaluation.benchmarks[0]"


@pytest.mark.parametrize(
    ("benchmark", "code", "field"),
    [
        ({"type": "lmEvaluationHarness"}, "Requires", ".tasks"),
        ({"type": "prompts"}, "Requires", ".prompts"),
        ({"type": "prompts", "prompts": {}}, "NotExactlyOne", ".prompts"),
        ({"type": "lmEvaluationHarness", "tasks": ["/tasks/own.yaml"]}, "Requires", ".allowCodeExecution"),
        ({"type": "humanEval"}, "Requires", ".allowCodeExecution"),
    ],
)
def test_a_benchmark_has_what_its_type_needs(brief, benchmark, code, field):
    changes = {"evaluation.benchmarks": [{"name": "b", **benchmark}]}
    assert brief(changes) == [("error", code, PATH + field)]


@pytest.mark.parametrize(
    "benchmark",
    [
        {"type": "lmEvaluationHarness", "tasks": ["hellaswag"]},
        {"type": "prompts", "prompts": {"hub": {"id": "a/b"}}},
        {"type": "humanEval", "allowCodeExecution": True},
        {"type": "lmEvaluationHarness", "tasks": ["/tasks/own.yaml"], "allowCodeExecution": True},
    ],
)
def test_a_complete_benchmark_is_accepted(brief, benchmark):
    assert brief({"evaluation.benchmarks": [{"name": "b", **benchmark}]}) == []


def test_questions_are_not_read_from_everywhere_yet(make_manifest):
    prompts = {"s3": {"uri": "s3://bucket/questions.jsonl"}}
    benchmark = {"name": "b", "type": "prompts", "prompts": prompts}
    found = validate_job(parse_job(make_manifest({"evaluation.benchmarks": [benchmark]})))
    [refused] = [finding for finding in found if finding.code == "NotYetSupported"]
    assert refused.path == f"{PATH}.prompts.s3"
