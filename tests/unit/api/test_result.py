import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api import ExitCode, Reason, TrainingResult
from finetune_api.result import TERMINATION_MESSAGE_BYTES


def result(**fields):
    return TrainingResult(
        **{"outcome": "failed", "reason": Reason.DATA_ERROR, "exit_code": ExitCode.DATA_ERROR} | fields
    )


def test_a_result_survives_the_termination_message():
    sent = result(message="train.jsonl line 3: not JSON", step=7, metrics={"loss": "2.5"})
    assert TrainingResult.from_termination_message(sent.to_termination_message()) == sent


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=9000))
def test_a_termination_message_always_fits_and_keeps_the_start_of_the_message(message):
    text = result(message=message).to_termination_message()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    kept = json.loads(text)["message"].removesuffix(" …")
    assert message.startswith(kept)


def test_a_long_message_is_cut_as_late_as_possible():
    text = result(message="é" * 9000).to_termination_message()
    assert TERMINATION_MESSAGE_BYTES - 2 <= len(text.encode()) <= TERMINATION_MESSAGE_BYTES


def test_metrics_go_before_the_reason_does():
    many = {f"{'ü' * 60}{number}": "ü" * 64 for number in range(32)}
    kept = TrainingResult.from_termination_message(result(metrics=many, step=9).to_termination_message())
    assert kept is not None
    assert (kept.reason, kept.step, kept.metrics) == (Reason.DATA_ERROR, 9, {})


def test_sample_answers_go_first_then_benchmarks():
    generations = [{"prompt": "ü" * 128, "before": "ü" * 128, "after": "ü" * 128}] * 2
    few = [{"name": "b", "scores": {"exactMatch": "0.5"}}]
    many = [{"name": f"b{number}", "message": "ü" * 500} for number in range(8)]

    def kept(benchmarks, message):
        evaluation = {"generations": generations, "benchmarks": benchmarks}
        sent = result(message=message, metrics={"loss": "2.5"}, evaluation=evaluation)
        return TrainingResult.from_termination_message(sent.to_termination_message())

    assert len(kept(few, "short").evaluation.generations) == 2
    cut = kept(few, "x" * 2500)
    assert (cut.message, cut.evaluation.generations) == ("x" * 2500, [])
    assert cut.evaluation.benchmarks[0].scores == {"exactMatch": "0.5"}
    bare = kept(many, "x" * 2500)
    assert (bare.message, bare.evaluation, bare.metrics) == ("x" * 2500, None, {"loss": "2.5"})


BEYOND_TIME = json.dumps(
    {
        "outcome": "failed",
        "reason": "DataError",
        "exitCode": 11,
        "checkpoints": {"latest": {"step": 1, "path": "x", "time": "9999-12-31T23:59:59-12:00"}},
    }
)


@pytest.mark.parametrize("text", [None, "", "Killed", "{}", "[1]", '{"outcome": "odd"}', BEYOND_TIME])
def test_a_message_of_another_program_is_no_result(text):
    assert TrainingResult.from_termination_message(text) is None


def test_each_exit_code_has_a_reason_and_a_meaning_of_its_own():
    assert (
        len({code.reason for code in ExitCode}) == len({code.meaning for code in ExitCode}) == len(ExitCode)
    )
    assert all(code.meaning.endswith(".") for code in ExitCode)


def test_mistakes_of_the_user_are_not_retried_and_accidents_are():
    retried = {code for code in ExitCode if code.retryable}
    assert retried == {
        ExitCode.CRASHED,
        ExitCode.STORAGE_ERROR,
        ExitCode.INTERRUPTED,
        ExitCode.PEER_LOST,
    }
