"""The status in its final form: small, and untouched where nothing has changed."""

from __future__ import annotations

from finetune_api import AttemptStatus, FineTuneJobStatus
from finetune_api.conditions import Reason
from finetune_operator.deciding.conditions import progressing
from finetune_operator.deciding.planning import STATUS_BYTES, Decision, bounded, final_status
from finetune_operator.deciding.revision import revised
from operator_scenes import at


def attempts(count: int, message: str) -> list[AttemptStatus]:
    return [
        AttemptStatus(
            number=number,
            start_time=at(number),
            end_time=at(number),
            outcome="Failed",
            reason=Reason.TRAINER_CRASHED,
            message=message,
            exit_code=1,
            last_step=1000,
            resumed_step=900,
            pods=8,
            rank_seconds=100_000,
            gpu_seconds=100_000,
        )
        for number in range(1, count + 1)
    ]


def size(status: FineTuneJobStatus) -> int:
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def test_a_small_status_is_left_alone() -> None:
    status = FineTuneJobStatus(attempts=attempts(3, "m" * 300))
    assert bounded(status) is status


def test_the_newest_attempt_keeps_its_message_when_the_older_ones_are_shortened() -> None:
    status = bounded(FineTuneJobStatus(attempts=attempts(10, "m" * 400)))
    assert size(status) <= STATUS_BYTES
    assert status.attempts[-1].message == "m" * 400
    assert len(status.attempts) == 10


def test_the_oldest_attempts_go_when_nothing_else_helps() -> None:
    metrics = {f"metric{number:02}": "1" * 60 for number in range(32)}
    status = bounded(FineTuneJobStatus(attempts=attempts(10, "m"), metrics=metrics))
    assert size(status) <= STATUS_BYTES
    assert status.attempts[-1].number == 10


def test_the_past_is_not_cut_for_what_is_large_without_it() -> None:
    effective = {f"setting{number:02}": "v" * 200 for number in range(64)}
    status = bounded(FineTuneJobStatus(attempts=attempts(10, "m" * 400), effective=effective))
    assert [record.number for record in status.attempts] == list(range(1, 11))
    assert status.effective == effective


class TestMeters:
    situation = progressing(Reason.TRAINING, "Attempt 1 is training.")
    record = AttemptStatus(number=1, start_time=at(0), rank_seconds=10)

    def decided(self, **changes: object) -> FineTuneJobStatus:
        status = FineTuneJobStatus(attempts=[revised(self.record, **changes)], usage={"rank_seconds": 10})
        return final_status(self.before, Decision(status, self.situation, None), 1, at(60))

    @property
    def before(self) -> FineTuneJobStatus:
        status = FineTuneJobStatus(attempts=[self.record], usage={"rank_seconds": 10})
        return final_status(status, Decision(status, self.situation, None), 1, at(0))

    def test_do_not_cause_a_write_by_themselves(self) -> None:
        assert self.decided(rank_seconds=70) == self.before

    def test_are_written_with_whatever_else_changes(self) -> None:
        after = self.decided(rank_seconds=70, last_step=5)
        assert after.attempts[0].rank_seconds == 70
