import pytest
from pydantic import ValidationError

from finetune_api import ProgressReport
from finetune_api.protocol import status_path

STOCK = {
    "trainerStatus": {
        "lastUpdatedTime": "2026-01-02T03:04:05.678901+00:00",
        "progressPercentage": 40,
        "estimatedRemainingSeconds": 90,
        "metrics": [{"name": "loss", "value": "2.5"}, {"name": "current_step", "value": "4"}],
    }
}
"""What transformers' own callback sends."""

BEYOND_TIME = "9999-12-31T23:59:59-12:00"
"""A time that no calendar of UTC holds."""

CHECKPOINT_BEYOND_TIME = {"step": 1, "path": "checkpoints/step-1", "time": BEYOND_TIME}


def test_the_report_of_a_stock_script_is_understood():
    report = ProgressReport.from_json_object(STOCK)
    assert report.finetune is None
    assert report.trainer_status.progress_percentage == 40
    assert {metric.name: metric.value for metric in report.trainer_status.metrics}["loss"] == "2.5"


def test_unknown_keys_are_tolerated():
    extended = {"trainerStatus": STOCK["trainerStatus"] | {"later": 1}, "other": True}
    assert ProgressReport.from_json_object(extended) == ProgressReport.from_json_object(STOCK)


def test_a_number_as_a_metric_is_taken_as_its_text():
    report = ProgressReport.from_json_object({"trainerStatus": {"metrics": [{"name": "loss", "value": 2.5}]}})
    assert report.trainer_status.metrics[0].value == "2.5"


def test_our_part_survives_json():
    sent = ProgressReport.from_json_object(
        STOCK
        | {
            "finetune": {
                "step": 4,
                "totalSteps": 10,
                "epoch": 0.4,
                "activity": "training",
                "checkpoints": {"latest": {"step": 2, "path": "dates/checkpoints/step-00000002"}},
                "sentAt": "2026-01-02T03:04:05.678Z",
            }
        }
    )
    assert ProgressReport.from_json_object(sent.to_json_object()) == sent
    assert sent.finetune is not None
    assert sent.finetune.sent_at is not None
    assert sent.finetune.sent_at.microsecond == 678000


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"trainerStatus": {"progressPercentage": 101}},
        {"trainerStatus": {"metrics": [{"name": "a", "value": "1"}] * 257}},
        {"trainerStatus": {}, "finetune": {"step": -1}},
        {"trainerStatus": {}, "finetune": {"step": 2**53}},
        {"trainerStatus": {"estimatedRemainingSeconds": 1e300}},
        {"trainerStatus": {}, "finetune": {"epoch": 1e30}},
        {"trainerStatus": {"lastUpdatedTime": BEYOND_TIME}},
        {"trainerStatus": {}, "finetune": {"sentAt": BEYOND_TIME}},
        {"trainerStatus": {}, "finetune": {"checkpoints": {"latest": CHECKPOINT_BEYOND_TIME}}},
    ],
)
def test_a_report_out_of_bounds_is_refused(report):
    with pytest.raises(ValidationError):
        ProgressReport.from_json_object(report)


def test_the_path_names_namespace_job_and_attempt():
    assert status_path("team", "dates", 2) == (
        "/v1alpha1/namespaces/team/finetunejobs/dates/attempts/2/status"
    )
