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


KEY = {"name": "store", "key": "key"}


@pytest.mark.parametrize(
    "source",
    [
        {"s3": {"uri": "s3://bucket/questions.jsonl", "anonymous": True}},
        {"s3": {"uri": "s3://bucket/questions.jsonl", "accessKeySecret": KEY, "secretKeySecret": KEY}},
        {"http": {"url": "https://data/questions.jsonl", "tokenSecret": KEY}},
    ],
)
def test_questions_come_from_wherever_training_data_comes_from(brief, source):
    assert brief({"evaluation.benchmarks": [{"name": "b", "type": "prompts", "prompts": source}]}) == []


@pytest.mark.parametrize(
    ("source", "code", "field"),
    [
        ({"s3": {"uri": "s3://bucket/key", "accessKeySecret": KEY}}, "Requires", ".s3"),
        ({"pvc": {"claimName": "data", "path": "../other"}}, "UnsafePath", ".pvc.path"),
    ],
)
def test_the_rules_for_sources_are_those_of_training_data(brief, source, code, field):
    changes = {"evaluation.benchmarks": [{"name": "b", "type": "prompts", "prompts": source}]}
    assert brief(changes) == [("error", code, f"{PATH}.prompts{field}")]


def test_an_upload_is_not_read_yet(make_manifest):
    benchmark = {"name": "b", "type": "prompts", "prompts": {"upload": {"id": "questions"}}}
    found = validate_job(parse_job(make_manifest({"evaluation.benchmarks": [benchmark]})))
    [refused] = [finding for finding in found if finding.code == "NotYetSupported"]
    assert refused.path == f"{PATH}.prompts.upload"
