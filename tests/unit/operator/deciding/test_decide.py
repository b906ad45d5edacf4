"""A job's life, as the operator decides it."""

from __future__ import annotations

import json

import pytest

from finetune_api import Finding, FineTuneJob, FineTuneJobStatus, ObjectMeta
from finetune_api.conditions import Reason
from finetune_api.resolved import AppliedPreset
from finetune_operator.deciding.decide import decide
from finetune_operator.deciding.refusal import blocked
from finetune_operator.observation import Observed
from operator_scenes import (
    CONFIG,
    SUCCESS,
    Operator,
    at,
    checkpoint,
    child,
    complete,
    created_jobs,
    deleted,
    ended_pod,
    failed,
    make_job,
    pod,
    report,
    result,
)


def test_a_new_job_gets_its_first_attempt() -> None:
    operator = Operator()
    plan = operator.see(0)
    assert [manifest["kind"] for manifest in plan.apply] == ["PersistentVolumeClaim", "ConfigMap", "Job"]
    assert created_jobs(plan) == ["tune-1"]
    assert operator.holds("Accepted")
    assert operator.holds("Reconciling")
    assert not operator.holds("Ready")
    assert operator.status.start_time == at(0)
    assert operator.status.observed_generation == 1


def test_the_whole_way_to_a_trained_model() -> None:
    operator = Operator()
    operator.see(0)
    operator.see(1, [child()], [pod(phase="Pending", node=None, started_at=None)])
    assert operator.status.phase == "Pending"
    operator.see(12, [child()], [pod()])
    assert operator.status.phase == "Starting"
    operator.see(30, [child()], [pod()], {1: report(20, 29, metrics={"loss": "2.5"})})
    assert operator.status.phase == "Running"
    operator.see(80, [child()], [pod()], {1: report(100, 79, checkpoints=checkpoint(100, 78))})
    plan = operator.see(101, [complete()], [ended_pod(0, termination_message=SUCCESS)])
    assert operator.holds("Ready")
    assert operator.holds("Complete")
    assert not operator.holds("Reconciling")
    assert operator.status.phase == "Succeeded"
    assert operator.status.completion_time == at(100)
    assert operator.status.progress is not None
    assert operator.status.progress.percent == 100
    assert operator.status.metrics == {"loss": "0.5"}
    assert operator.status.output is not None
    assert operator.status.output.path == "tune/output/adapter"
    assert plan.requeue_after is None
    assert operator.story == ["Accepted", "AttemptStarted", "Training", "CheckpointSaved", "Succeeded"]


def test_the_same_observation_twice_changes_nothing() -> None:
    operator = Operator()
    operator.see(0)
    operator.see(30, [child()], [pod()], {1: report(20, 29)})
    before = operator.status
    plan = operator.see(35, [child()], [pod()], {1: report(20, 29)})
    assert plan.status == before
    assert plan.events == []
    assert plan.apply == []
    assert plan.delete == []


def test_a_status_read_back_from_json_decides_the_same() -> None:
    operator = Operator()
    operator.see(0)
    operator.see(30, [child()], [pod()], {1: report(20, 29)})
    before = operator.status
    operator.restart()
    assert operator.see(31, [child()], [pod()]).status == before


def test_a_deleted_job_is_left_to_its_owner_references() -> None:
    operator = Operator()
    operator.see(0)
    gone = operator.job.metadata.model_copy(update={"deletion_timestamp": at(5)})
    operator.job = operator.job.model_copy(update={"metadata": gone})
    plan = operator.see(6, [child()], [pod()])
    assert (plan.apply, plan.delete, plan.events) == ([], [], [])


class TestInvalidSpec:
    job = make_job({"method": {"type": "pissa", "lora": {"initialization": "olora"}}})

    def test_is_stalled_with_every_finding_and_starts_nothing(self) -> None:
        operator = Operator(self.job)
        plan = operator.see(0)
        assert plan.apply == []
        assert plan.requeue_after is None
        assert operator.status.phase == "Stalled"
        assert operator.holds("Stalled")
        assert operator.reason("Accepted") == "InvalidSpec"
        assert "method.lora.initialization" in operator.message("Accepted")
        assert operator.story == ["InvalidSpec"]

    def test_is_not_retried(self) -> None:
        operator = Operator(self.job)
        first = operator.see(0)
        again = operator.see(1000)
        assert again.status == first.status
        assert again.events == []

    def test_starts_once_it_is_mended(self) -> None:
        operator = Operator(self.job)
        operator.see(0)
        operator.edit(method=make_job().spec.method)
        assert created_jobs(operator.see(10)) == ["tune-1"]
        assert not operator.holds("Stalled")
        assert operator.holds("Accepted")

    def test_does_not_end_an_attempt_that_runs(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.edit(method=self.job.spec.method)
        plan = operator.see(20, [child()], [pod()])
        assert plan.delete == []
        assert operator.status.phase == "Starting"
        assert operator.status.observed_generation == 2

    def test_that_does_not_even_parse_is_stalled_too(self) -> None:
        from finetune_api import InvalidJobError, parse_job
        from finetune_operator.deciding.refusal import rejected

        manifest = make_job().to_json_object()
        manifest["spec"]["training"] = {"epochs": "many"}
        with pytest.raises(InvalidJobError) as caught:
            parse_job(manifest)
        metadata = ObjectMeta(name="tune", generation=3)
        plan = rejected(metadata, FineTuneJobStatus(), caught.value.findings, at(0))
        stalled = plan.status.condition("Stalled")
        assert stalled is not None
        assert (stalled.status, stalled.reason) == ("True", "InvalidSpec")
        assert "training.epochs" in stalled.message
        assert [event.reason for event in plan.events] == ["InvalidSpec"]
        assert rejected(metadata, plan.status, caught.value.findings, at(9)).events == []

    @pytest.mark.parametrize("outcome", ["Running", "Succeeded"])
    def test_of_another_version_hides_the_state_of_a_job_only_while_that_can_change(
        self, outcome: str
    ) -> None:
        """As after an upgrade to a version that takes fewer words: nobody follows what runs."""
        from finetune_operator.deciding.refusal import rejected

        finding = Finding(code="Invalid", severity="error", path="model.x", message="is not known", remedy="")
        condition = {"type": "Complete", "status": "True", "reason": "Succeeded", "message": "Trained."}
        ended = [{**condition, "lastTransitionTime": "2026-01-01T12:00:00Z", "observedGeneration": 1}]
        status = FineTuneJobStatus.from_json_object(
            {
                "observedGeneration": 3,
                "phase": outcome,
                "startTime": "2026-01-01T12:00:00Z",
                "attempts": [{"number": 1, "outcome": outcome}],
                "conditions": ended if outcome == "Succeeded" else [],
            }
        )
        plan = rejected(ObjectMeta(name="tune", generation=3), status, [finding], at(0))
        if outcome == "Succeeded":
            assert plan.status == status
            return
        assert plan.status.attempts == status.attempts
        assert plan.status.phase == "Stalled"
        stalled = plan.status.condition("Stalled")
        assert stalled is not None
        assert "not followed" in stalled.message
        assert "model.x" in stalled.message

    def test_that_names_a_preset_which_is_not_there_has_a_reason_of_its_own(self) -> None:
        from finetune_api.presets.lookup import unknown_preset
        from finetune_operator.deciding.refusal import rejected

        finding = unknown_preset("ours", (), "a FineTunePreset of the job's namespace")
        plan = rejected(ObjectMeta(name="tune", generation=3), FineTuneJobStatus(), [finding], at(0))
        reasons = {condition.type: condition.reason for condition in plan.status.conditions}
        assert reasons["Stalled"] == reasons["Ready"] == reasons["Accepted"] == "UnknownPreset"


class TestFailure:
    def test_with_a_reason_that_a_retry_cannot_mend_is_final(self) -> None:
        operator = Operator()
        operator.see(0)
        message = result(
            "failed", Reason.DATA_ERROR, 11, "train.jsonl:7: no key output"
        ).to_termination_message()
        operator.see(101, [failed()], [ended_pod(11, termination_message=message)])
        assert operator.status.phase == "Failed"
        assert operator.holds("Failed")
        assert operator.holds("Stalled")
        assert operator.reason("Failed") == "DataError"
        assert "train.jsonl:7" in operator.message("Failed")
        assert operator.status.retries == 0
        assert created_jobs(operator.see(500, [failed()])) == []
        assert operator.story == ["Accepted", "AttemptStarted", "DataError", "Failed"]

    def test_is_followed_by_another_attempt_after_the_back_off(self) -> None:
        operator = Operator()
        operator.see(0)
        plan = operator.see(101, [failed()], [ended_pod(1)])
        assert operator.status.phase == "Retrying"
        assert plan.requeue_after == 9
        assert created_jobs(operator.see(109, [failed()], [ended_pod(1)])) == []
        plan = operator.see(110, [failed()], [ended_pod(1)])
        assert created_jobs(plan) == ["tune-2"]
        assert operator.status.retries == 1
        assert [record.outcome for record in operator.status.attempts] == ["Failed", "Running"]

    def test_waits_without_touching_the_status(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(101, [failed()], [ended_pod(1)])
        before = operator.status
        assert operator.see(105, [failed()], [ended_pod(1)]).status == before
        assert "retry 1 of 3) starts 10 s after attempt 1" in operator.message("Reconciling")

    def test_is_final_when_the_retries_are_used_up(self) -> None:
        operator = Operator(make_job({"failurePolicy": {"maxRetries": 1, "backoffSeconds": 1}}))
        operator.see(0)
        operator.see(101, [failed()], [ended_pod(1)])
        operator.see(110, [failed()])
        operator.see(211, [failed(), failed(2, 210)], [ended_pod(1, attempt=2, seconds=210)])
        assert operator.reason("Failed") == "RetriesExhausted"
        assert "TrainerCrashed" in operator.message("Failed")
        assert operator.status.retries == 1

    def test_shows_the_resumed_step_and_what_was_lost(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(80, [child()], [pod()], {1: report(100, 70, checkpoints=checkpoint(100, 70))})
        operator.see(111, [failed(1, 110)], [ended_pod(137, seconds=110)])
        operator.see(125, [failed(1, 110)])
        operator.see(150, [child(2)], [pod(2, started_at=at(130))], {2: report(101, 149, resumedStep=100)})
        first, second = operator.status.attempts
        assert (first.outcome, first.exit_code, first.last_step) == ("Failed", 137, 100)
        assert second.resumed_step == 100
        assert operator.status.usage is not None
        assert operator.status.usage.rank_seconds == 100 + 20
        assert operator.status.usage.wasted_rank_seconds == 40


class TestPreemption:
    def test_uses_up_no_retry(self) -> None:
        operator = Operator(make_job({"failurePolicy": {"maxRetries": 0}}))
        operator.see(0)
        gone = ended_pod(20, disruption="PreemptionByScheduler", message="Preempted by pod x")
        operator.see(101, [failed()], [gone])
        assert operator.status.attempts[0].outcome == "Preempted"
        assert operator.status.phase == "Retrying"
        assert created_jobs(operator.see(111, [failed()], [gone])) == ["tune-2"]
        assert operator.status.retries == 0

    def test_of_a_job_that_somebody_deletes_is_followed_by_the_next_attempt(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(40, [child()], [pod()])
        operator.see(41, [child(deleting=True)], [pod(deleting=True)])
        plan = operator.see(60)
        assert operator.status.attempts[0].outcome == "Lost"
        assert deleted(plan) == ["ConfigMap/tune-1"]
        assert created_jobs(operator.see(80)) == ["tune-2"]
        assert operator.status.retries == 0


class TestAfterTheEnd:
    def finished(self, ttl: int | None) -> Operator:
        policy = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
        operator = Operator(make_job({"failurePolicy": policy}))
        operator.see(0)
        operator.see(101, [complete()], [ended_pod(0, termination_message=SUCCESS)])
        return operator

    def test_children_stay_without_a_ttl(self) -> None:
        operator = self.finished(None)
        plan = operator.see(10**7, [complete()])
        assert plan.delete == []
        assert plan.requeue_after is None

    def test_children_go_when_the_ttl_has_passed_and_the_status_stays(self) -> None:
        operator = self.finished(600)
        assert operator.plans[-1].requeue_after == 600
        before = operator.status
        assert operator.see(400, [complete()]).requeue_after == 300
        assert deleted(operator.see(700, [complete()])) == ["ConfigMap/tune-1", "Job/tune-1"]
        assert operator.see(710).delete == []
        assert operator.status == before

    def test_nothing_starts_again_whatever_changes(self) -> None:
        operator = self.finished(None)
        operator.edit(suspend=True)
        plan = operator.see(200, [complete()])
        assert operator.status.observed_generation == 2
        assert operator.holds("Complete")
        assert (plan.apply, plan.delete) == ([], [])


class TestAPreset:
    preset = AppliedPreset(name="ours", source="namespace", resource_version="7", digest="d0", values={})

    def test_is_named_by_the_status_from_the_acceptance_on(self) -> None:
        observed = Observed(preset=self.preset)
        plan = decide(make_job({"preset": "ours"}), FineTuneJobStatus(), observed, at(0), CONFIG)
        assert plan.status.preset == self.preset.status
        assert created_jobs(plan) == ["tune-1"]

    def test_may_have_mended_a_job_that_was_refused(self) -> None:
        operator = Operator(make_job({"preset": "ours", "resources": {"memory": "64Mi"}}))
        operator.see(0)
        assert operator.holds("Stalled")
        mended = make_job({"preset": "ours"})
        assert created_jobs(decide(mended, operator.status, Observed(preset=self.preset), at(9), CONFIG)) == [
            "tune-1"
        ]

    def test_that_is_lost_stalls_a_job_that_has_started_and_touches_nothing_of_it(self) -> None:
        operator = Operator()
        operator.see(0)
        plan = blocked(operator.job.metadata, operator.status, "spec.preset: gone", at(9))
        stalled = plan.status.condition("Stalled")
        assert stalled is not None
        assert (stalled.status, stalled.message) == ("True", "spec.preset: gone")
        assert plan.status.attempts == operator.status.attempts
        assert (plan.apply, plan.delete) == ([], [])

    def test_that_is_lost_is_no_matter_to_a_job_that_has_ended(self) -> None:
        operator = Operator()
        operator.see(0)
        operator.see(101, [complete()], [ended_pod(0, termination_message=SUCCESS)])
        assert (
            blocked(operator.job.metadata, operator.status, "spec.preset: gone", at(999)).status
            == operator.status
        )

    def test_of_an_attempt_that_the_status_does_not_know_yet_is_named_too(self) -> None:
        observed = Observed(jobs=(child(),), pods=(pod(),), preset=self.preset)
        plan = decide(make_job({"preset": "ours"}), FineTuneJobStatus(), observed, at(20), CONFIG)
        assert plan.status.preset == self.preset.status

    def test_stays_the_one_that_the_job_started_from(self) -> None:
        job = make_job({"preset": "ours"})
        started = decide(job, FineTuneJobStatus(), Observed(preset=self.preset), at(0), CONFIG).status
        newer = self.preset.model_copy(update={"resource_version": "8"})
        plan = decide(job, started, Observed(jobs=(child(),), pods=(pod(),), preset=newer), at(20), CONFIG)
        assert plan.status.preset == self.preset.status


def test_decide_does_not_change_its_arguments() -> None:
    job = make_job()
    before = job.to_json_object()
    decide(job, FineTuneJobStatus(), Observed(), at(0), CONFIG)
    assert FineTuneJob.from_json_object(before) == job


class TestCommandOfOnesOwn:
    job = make_job({"resources": {"command": ["python", "/scripts/train.py"]}})

    def test_runs_and_succeeds_without_a_word(self) -> None:
        operator = Operator(self.job)
        operator.see(0)
        operator.see(20, [child()], [pod()])
        assert operator.status.phase == "Running"
        operator.see(101, [complete()], [ended_pod(0)])
        assert operator.holds("Complete")
        assert operator.status.progress is not None
        assert operator.status.progress.percent == 100

    def test_fails_with_a_hint_at_its_log(self) -> None:
        operator = Operator(self.job)
        operator.see(0)
        operator.see(101, [failed()], [ended_pod(11)])
        assert operator.status.attempts[0].reason == "TrainerCrashed"
        assert "kubectl logs tune-1-0-x" in operator.message("Reconciling")


def test_a_result_that_the_hub_did_not_take_is_a_success_that_says_so() -> None:
    operator = Operator()
    operator.see(0)
    told = {"repository": "me/model", "revision": "main", "step": 200, "message": "me/model: 503. It is at x"}
    ended = result(step=200, total_steps=200, hub=told)
    message = ended.to_termination_message()
    operator.see(101, [complete()], [ended_pod(0, termination_message=message)])
    ready = operator.status.condition("Ready")
    assert ready is not None
    assert ready.status == "True"
    assert "not on the hub: me/model: 503. It is at x" in ready.message
    assert operator.status.hub is not None
    assert not operator.status.hub.complete


def test_a_status_with_benchmarks_answers_and_a_push_stays_small() -> None:
    text = "x" * 100
    scores = {"own_task.acc": "0.8125", "own_task.acc_norm": "0.7812"}
    evaluation = {
        "path": "team/tune/output/benchmarks",
        "benchmarks": [
            {"name": f"benchmark-{n}", "scores": scores, "base": scores, "samples": 200} for n in range(4)
        ],
        "generations": [{"prompt": text, "before": text, "after": text}] * 2,
    }
    hub = {"repository": "me/model", "revision": "main", "step": 200, "commit": "c" * 40, "complete": True}
    output = {"kind": "adapter", "path": "tune/output/adapter", "verified": True, "bytes": 10**8}
    ended = result(
        step=200,
        total_steps=200,
        metrics={f"metric{n}": "0.123456" for n in range(10)},
        output=output | {"mergedPath": "tune/output/merged", "mergedBytes": 10**10},
        hub=hub,
        evaluation=evaluation,
    )
    operator = Operator()
    operator.see(0)
    operator.see(101, [complete()], [ended_pod(0, termination_message=ended.to_termination_message())])
    status = operator.status.to_json_object()
    assert status["evaluation"]["benchmarks"][3]["base"] == scores
    assert status["evaluation"]["generations"][1]["after"] == text
    assert status["hub"]["complete"] is True
    assert len(json.dumps(status)) <= 4096
