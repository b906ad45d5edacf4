"""What can stand in the way of an attempt."""

from __future__ import annotations

from finetune_operator.obstacles import Conflict, Refusal
from operator_scenes import (
    Operator,
    child,
    created_jobs,
    deleted,
)


class TestObstacles:
    def test_a_name_that_belongs_to_somebody_else_stalls_the_job(self) -> None:
        operator = Operator()
        conflict = Conflict("Job", "tune-1", "CronJob nightly")
        plan = operator.see(0, conflicts=[conflict])
        assert plan.apply == []
        assert plan.delete == []
        assert operator.reason("Stalled") == "NameConflict"
        assert "CronJob nightly" in operator.message("Stalled")
        assert operator.status.attempts == []
        assert plan.requeue_after == 60
        assert created_jobs(operator.see(60)) == ["tune-1"]
        assert not operator.holds("Stalled")

    def test_a_leftover_of_an_earlier_job_is_waited_for(self) -> None:
        operator = Operator()
        operator.see(0, conflicts=[Conflict("ConfigMap", "tune-1", "FineTuneJob tune", leftover=True)])
        assert not operator.holds("Stalled")
        assert operator.reason("Reconciling") == "NameConflict"

    def test_pods_of_an_earlier_job_of_the_same_name_are_waited_for(self) -> None:
        operator = Operator()
        plan = operator.see(0, [child(3, owner_uid="another")])
        assert plan.apply == []
        assert plan.delete == []
        assert operator.status.attempts == []
        assert created_jobs(operator.see(5)) == ["tune-1"]

    def test_an_object_that_the_api_server_refuses_is_the_users_mistake(self) -> None:
        operator = Operator()
        refusal = Refusal(
            "Job", "tune-1", "spec.template.spec.volumes[6].name: Duplicate value", permanent=True
        )
        plan = operator.see(0, refusals=[refusal])
        assert operator.reason("Stalled") == "InvalidSpec"
        assert "Duplicate value" in operator.message("Stalled")
        assert deleted(plan) == ["ConfigMap/tune-1"]
        assert operator.see(100).apply == []

    def test_a_quota_that_is_used_up_is_waited_for(self) -> None:
        operator = Operator()
        plan = operator.see(0, refusals=[Refusal("Job", "tune-1", "exceeded quota: jobs", permanent=False)])
        assert "exceeded quota" in operator.message("Reconciling")
        assert plan.requeue_after == 60
        assert operator.status.attempts == []
