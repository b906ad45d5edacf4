"""What reports change in the status, and what they may not."""

from __future__ import annotations

import pytest

from finetune_api import AttemptStatus, FineTuneJobStatus, ProgressReport
from finetune_api.conditions import Reason
from finetune_operator.deciding.progress import concluded, duration, finished, reported, resting
from operator_scenes import at, checkpoint, report, result, stamp

BEGUN = AttemptStatus(number=1, start_time=at(0))


def after(*reports: ProgressReport) -> FineTuneJobStatus:
    status, record = FineTuneJobStatus(attempts=[BEGUN]), BEGUN
    for each in reports:
        status, record = reported(status, record, each)
    return status


def step(status: FineTuneJobStatus) -> int:
    assert status.progress is not None
    return status.progress.step


def test_a_report_becomes_progress_metrics_and_checkpoints() -> None:
    extra = {
        "epoch": 0.5,
        "tokens": 4096,
        "effective": {"precision": "bf16"},
        "checkpoints": checkpoint(40, 49),
    }
    status = after(report(50, 50, metrics={"loss": "1.25", "tokensPerSecond": "800"}, **extra))
    progress = status.progress
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.percent, progress.epoch) == (50, 200, 25, "0.50")
    assert (progress.remaining_seconds, progress.remaining, progress.updated_time) == (60, "1m0s", at(50))
    assert status.metrics == {"loss": "1.25", "tokensPerSecond": "800"}
    assert status.effective == {"precision": "bf16"}
    assert status.checkpoints is not None
    assert status.checkpoints.latest is not None
    assert status.checkpoints.latest.step == 40
    assert status.attempts[0].last_step == 50


def test_an_older_report_changes_nothing() -> None:
    newer = report(50, 50, metrics={"loss": "1.0"})
    assert after(newer, report(50, 40, metrics={"loss": "2.0"})) == after(newer)


def test_a_clock_that_was_set_back_does_not_hold_progress_up() -> None:
    status = after(report(50, 3600), report(60, 70))
    assert step(status) == 60
    assert status.progress is not None
    assert status.progress.updated_time == at(70)


def test_a_step_never_goes_back_within_an_attempt() -> None:
    newer = report(50, 50)
    assert after(newer, report(49, 60)) == after(newer)


def test_the_same_report_again_does_not_even_move_the_time() -> None:
    assert after(report(50, 50), report(50, 55)) == after(report(50, 50))


def test_what_a_report_leaves_out_stays() -> None:
    status = after(report(50, 50, metrics={"evalLoss": "2"}, checkpoints=checkpoint(40, 49)), report(60, 60))
    assert status.metrics == {"evalLoss": "2"}
    assert status.checkpoints is not None


def test_an_attempt_that_loads_shows_where_it_resumes() -> None:
    status = FineTuneJobStatus(progress={"step": 130, "total_steps": 200}, attempts=[BEGUN])
    loading, record = reported(status, BEGUN, report(0, 10, activity="loading"))
    assert step(loading) == 130
    resumed, _ = reported(loading, record, report(0, 11, activity="loading", resumedStep=100))
    assert step(resumed) == 100


def test_a_node_whose_clock_is_behind_is_heard_in_a_new_attempt() -> None:
    before = after(report(50, 500))
    status, _ = reported(before, AttemptStatus(number=2, start_time=at(510)), report(40, 300))
    assert step(status) == 40


def kubeflow(current: str, seconds: float = 50, **metrics: str) -> ProgressReport:
    values = {"current_step": current, "total_steps": "80", "current_epoch": "0.25", **metrics}
    return ProgressReport.from_json_object(
        {
            "trainerStatus": {
                "progressPercentage": 24,
                "estimatedRemainingSeconds": 5000,
                "metrics": [{"name": name, "value": value} for name, value in values.items()],
                "lastUpdatedTime": stamp(seconds),
            }
        }
    )


def test_an_unmodified_transformers_script_is_understood() -> None:
    status = after(kubeflow("20", loss="1.5", grad_norm="0.7", learning_rate="1e-05"))
    progress = status.progress
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.percent, progress.epoch) == (20, 80, 25, "0.25")
    assert (progress.activity, progress.remaining) == ("training", "1h23m")
    assert status.metrics == {"gradNorm": "0.7", "learningRate": "1e-05", "loss": "1.5"}


def test_numbers_that_are_none_are_no_error() -> None:
    assert step(after(kubeflow("many", total_steps="nan", current_epoch="-1"))) == 0


def test_there_is_a_limit_to_the_number_of_metrics() -> None:
    status = after(kubeflow("1", **{f"metric_{number}": "1" for number in range(100)}))
    assert len(status.metrics) == 32


def test_the_last_word_wins_over_reports() -> None:
    last = result(step=200, total_steps=200, metrics={"loss": "0.5"})
    status = concluded(after(report(190, 50, metrics={"loss": "0.9"})), last)
    assert status.progress is not None
    assert (status.progress.step, status.progress.percent, status.progress.remaining) == (200, 100, "0s")
    assert status.metrics == {"loss": "0.5"}


def test_an_interrupted_run_is_as_far_as_it_came() -> None:
    status = concluded(after(report(50, 50)), result("interrupted", Reason.INTERRUPTED, 20, step=64))
    assert status.progress is not None
    assert (status.progress.step, status.progress.percent) == (64, 32)


def test_a_resting_job_does_nothing_and_expects_nothing() -> None:
    progress = resting(after(report(50, 50))).progress
    assert progress is not None
    assert (progress.step, progress.activity, progress.remaining) == (50, None, None)


def test_a_finished_job_is_done_to_the_last_percent() -> None:
    progress = finished(after(kubeflow("79"))).progress
    assert progress is not None
    assert progress.percent == 100


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m0s"), (4800, "1h20m"), (273_600, "3d4h")]
)
def test_durations_are_told_in_two_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_on_the_hub_and_what_benchmarks_found_stay_until_there_is_news() -> None:
    hub = {"repository": "me/model", "revision": "main", "step": 40, "commit": "c1"}
    evaluation = {"benchmarks": [{"name": "sums", "scores": {"exactMatch": "0.5"}}]}
    status = after(report(50, 50, hub=hub), report(60, 60, evaluation=evaluation), report(70, 70))
    assert status.hub is not None
    assert (status.hub.step, status.hub.complete) == (40, False)
    assert status.evaluation is not None
    assert status.evaluation.benchmarks[0].scores == {"exactMatch": "0.5"}
    done = concluded(status, result(step=200, hub=hub | {"step": 200, "complete": True}))
    assert done.hub is not None
    assert done.hub.complete
    assert done.evaluation == status.evaluation
