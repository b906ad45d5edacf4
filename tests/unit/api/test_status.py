from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from finetune_api import AttemptStatus, FineTuneJobStatus, Reason, parse_job


def test_a_new_job_has_not_been_observed():
    assert FineTuneJobStatus().observed_generation == -1


def test_what_a_manifest_says_of_the_status_is_passed_over(make_manifest):
    """As the API server does: only the operator writes it, and that may be a later version of it."""
    job = parse_job(make_manifest() | {"status": {"phase": "AWordOfALaterVersion"}})
    assert job == parse_job(make_manifest())


def test_times_are_whole_seconds_in_utc():
    moment = datetime(2026, 1, 2, 4, 4, 5, 678, tzinfo=timezone(timedelta(hours=1)))
    status = FineTuneJobStatus(start_time=moment)
    assert status.start_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert status.to_json_object()["startTime"] == "2026-01-02T03:04:05Z"


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValidationError):
        FineTuneJobStatus(start_time=datetime(2026, 1, 2))  # noqa: DTZ001 - that is the point


def test_fields_of_a_later_version_are_ignored():
    status = FineTuneJobStatus.from_json_object({"observedGeneration": 3, "laterField": {"a": 1}})
    assert status.observed_generation == 3


def test_an_attempt_has_a_reason_from_the_list():
    attempt = AttemptStatus.from_json_object({"number": 1, "outcome": "Failed", "reason": "DataError"})
    assert attempt.reason is Reason.DATA_ERROR
    with pytest.raises(ValidationError):
        AttemptStatus.from_json_object({"number": 1, "reason": "Whatever"})


def test_two_attempts_do_not_share_a_number():
    with pytest.raises(ValidationError, match="appears twice"):
        FineTuneJobStatus.from_json_object({"attempts": [{"number": 1}, {"number": 1}]})
