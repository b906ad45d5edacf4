"""The demo's verdict: exact match before and after, from what the evaluation pod prints."""

import json

import pytest

from finetune_demo.evaluation import Answer, Evaluation, EvaluationError, evaluation_pod, read_answers


def printed(before: list[str], after: list[str], expected: str = "2021-03-05") -> str:
    lines = [
        {"instruction": "i", "input": f"date {number}", "output": expected, "answer": answer}
        for answers in (before, after)
        for number, answer in enumerate(answers)
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_answers_of_both_models_are_put_side_by_side() -> None:
    evaluation = read_answers(printed(["x", "y"], ["2021-03-05\n", "2021-03-06"]))
    assert evaluation.answers[0] == Answer("date 0", "2021-03-05", "x", "2021-03-05")
    assert (evaluation.before, evaluation.after) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("right_before", "right_after", "learned"),
    [(0, 10, True), (1, 9, True), (2, 10, False), (0, 8, False)],
)
def test_the_skill_counts_as_learned_only_if_it_was_not_there_before(
    right_before: int, right_after: int, learned: bool
) -> None:
    answers = [
        Answer("i", "e", "e" if n < right_before else "x", "e" if n < right_after else "x") for n in range(10)
    ]
    assert Evaluation(answers).learned is learned


@pytest.mark.parametrize("text", ["", printed(["a", "b"], ["c"])])
def test_an_answer_that_is_missing_is_an_error_and_not_a_zero(text: str) -> None:
    with pytest.raises(EvaluationError, match="no whole set"):
        read_answers(text)


def test_the_table_shows_ten_answers_and_marks_the_wrong_ones() -> None:
    answers = [Answer(f"date {n}", "right", "if x:\n  y", "right" if n else "wrong") for n in range(20)]
    lines = Evaluation(answers).table().splitlines()
    assert len(lines) == 11
    assert "if x: y" in lines[1]
    assert lines[1].endswith("✗ right")
    assert lines[2].endswith("✓")


def test_the_evaluation_pod_asks_for_nothing_that_restricted_pod_security_forbids() -> None:
    spec = evaluation_pod("trainer:1", "models", "dates", "base/output/model", "dates/output/adapter")["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_only_the_tuned_model_is_asked_with_the_adapter() -> None:
    spec = evaluation_pod("trainer:1", "models", "dates", "base/output/model", "dates/output/adapter")["spec"]
    base, tuned = (container["command"] for container in spec["initContainers"])
    assert set(tuned) - set(base) == {"--adapter=/models/dates/output/adapter", "--out=/tmp/tuned.jsonl"}
