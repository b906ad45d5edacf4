import pytest

PATH = "evaluation.benchmarks[0]"


@pytest.mark.parametrize(
    ("benchmark", "code", "field"),
    [
        ({"type": "lmEvaluationHarness"}, "Requires", ".tasks"),
        ({"type": "prompts"}, "Requires", ".prompts"),
        ({"type": "prompts", "prompts": {}}, "NotExactlyOne", ".prompts"),
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
    ],
)
def test_a_complete_benchmark_is_accepted(brief, benchmark):
    assert brief({"evaluation.benchmarks": [{"name": "b", **benchmark}]}) == []
