"""How an attempt ended: the clearest witness speaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetune_api import ExitCode
from finetune_api.conditions import Reason
from finetune_operator.deciding.evidence import Evidence, failures
from finetune_operator.deciding.outcome import EVIDENCE_DELAY, Ending, ending, without_job
from finetune_operator.observation import ObservedPod
from operator_scenes import at, child, complete, ended_pod, failed, pod, result

NOW = at(101)


def judge(
    *pods: ObservedPod,
    job: object = None,
    own_command: bool = False,
    reported: object = None,
    remembered: Evidence | None = None,
    seconds: float = 101,
) -> Ending | None:
    return ending(
        job or failed(),  # type: ignore[arg-type]
        pods,
        reported,  # type: ignore[arg-type]
        remembered,
        own_command=own_command,
        now=at(seconds),
    )


def verdict(*pods: ObservedPod, **facts: object) -> tuple[str, str]:
    found = judge(*pods, **facts)  # type: ignore[arg-type]
    assert found is not None
    return found.outcome, found.reason.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ExitCode.CRASHED, ("Failed", "TrainerCrashed")),
        (ExitCode.INVALID_CONFIG, ("Failed", "InvalidConfig")),
        (ExitCode.DATA_ERROR, ("Failed", "DataError")),
        (ExitCode.OUT_OF_MEMORY, ("Failed", "OutOfMemory")),
        (ExitCode.DIVERGED, ("Failed", "Diverged")),
        (ExitCode.STORAGE_ERROR, ("Failed", "StorageError")),
        (ExitCode.MODEL_LOAD_FAILED, ("Failed", "ModelLoadFailed")),
        (ExitCode.OUTPUT_INVALID, ("Failed", "OutputInvalid")),
        (ExitCode.INTERRUPTED, ("Preempted", "Interrupted")),
        (ExitCode.PEER_LOST, ("Failed", "PeerLost")),
        (137, ("Failed", "TrainerCrashed")),
        (139, ("Failed", "TrainerCrashed")),
        (143, ("Preempted", "Interrupted")),
    ],
)
def test_an_exit_code_has_its_meaning(code: int, expected: tuple[str, str]) -> None:
    assert verdict(ended_pod(code)) == expected


def test_every_exit_code_of_a_failure_is_in_the_table_above() -> None:
    tested = {
        mark.args[1][index][0] for mark in test_an_exit_code_has_its_meaning.pytestmark for index in range(10)
    }  # type: ignore[attr-defined]
    assert tested == set(ExitCode) - {ExitCode.SUCCEEDED}


def test_the_exit_codes_of_a_users_program_mean_nothing_but_failure() -> None:
    assert verdict(ended_pod(11), own_command=True) == ("Failed", "TrainerCrashed")
    assert verdict(ended_pod(143), own_command=True) == ("Preempted", "Interrupted")


def test_the_first_rank_to_fail_speaks_for_the_peers_that_it_took_along() -> None:
    first = ended_pod(13, index=1, seconds=90)
    peer = ended_pod(21, index=0, seconds=85)
    assert verdict(peer, first) == ("Failed", "Diverged")


def test_a_crash_outweighs_the_peers_that_were_stopped_for_it() -> None:
    stopped = ended_pod(20, index=0, seconds=95, deleting=True)
    assert verdict(stopped, ended_pod(1, index=1)) == ("Failed", "TrainerCrashed")


def test_among_equal_failures_the_earlier_one_speaks() -> None:
    found = judge(ended_pod(1, index=0, seconds=99), ended_pod(1, index=1, seconds=98))
    assert found is not None
    assert "tune-1-1-x" in found.message


def test_an_eviction_outweighs_the_crash_that_it_causes() -> None:
    evicted = ended_pod(20, index=0, disruption="EvictionByEvictionAPI")
    assert verdict(evicted, ended_pod(1, index=1, seconds=90)) == ("Preempted", "Preempted")


def test_bad_data_outweighs_an_eviction() -> None:
    assert verdict(ended_pod(11, disruption="EvictionByEvictionAPI")) == ("Failed", "DataError")


def test_a_container_over_its_memory_limit_is_out_of_memory() -> None:
    found = judge(ended_pod(137, oom_killed=True))
    assert found is not None
    assert found.reason is Reason.OUT_OF_MEMORY
    assert "resources.memory" in found.message


@pytest.mark.parametrize("reason", ["DeletionByTaintManager", "DeletionByPodGC"])
def test_a_pod_that_went_with_its_node_is_lost(reason: str) -> None:
    gone = pod(phase="Failed", disruption=reason)
    assert verdict(gone) == ("Lost", "NodeLost")


@pytest.mark.parametrize("exit_code", [None, 137, 143])
def test_a_pod_evicted_for_files_of_its_own_uses_up_a_retry_and_says_what_was_too_much(
    exit_code: int | None,
) -> None:
    says = "Pod ephemeral local storage usage exceeds the total limit of containers 5Gi. "
    found = judge(pod(phase="Failed", reason="Evicted", message=says, exit_code=exit_code))
    assert found is not None
    assert (found.outcome, found.reason) == ("Failed", "StorageError")
    assert "exceeds the total limit of containers 5Gi. Set model.cache" in found.message


def test_a_pod_evicted_for_its_nodes_sake_was_preempted() -> None:
    low = {"reason": "Evicted", "message": "The node was low on resource: memory."}
    assert verdict(ended_pod(137, disruption="TerminationByKubelet", **low)) == ("Preempted", "Preempted")


def test_a_pod_on_a_node_that_does_not_answer_is_told_of_before_it_ends() -> None:
    [told] = failures(
        [pod(disruption="DeletionByTaintManager", deleting=True)], None, own_command=False, at=at(60)
    )
    assert told.reason is Reason.NODE_LOST
    assert "or its Node object is deleted" in told.message


def test_a_node_that_shuts_down_is_lost() -> None:
    assert verdict(pod(phase="Failed", reason="Terminated")) == ("Lost", "NodeLost")


def test_a_pod_that_kubelet_refuses_is_not_the_jobs_fault() -> None:
    refused = pod(phase="Failed", reason="UnexpectedAdmissionError", started_at=None)
    assert verdict(refused) == ("Preempted", "Preempted")


def test_a_deleted_pod_that_had_to_be_killed_was_interrupted() -> None:
    assert verdict(ended_pod(137, deleting=True)) == ("Preempted", "Interrupted")


def test_a_pod_that_was_deleted_before_it_ran_says_so() -> None:
    found = judge(pod(phase="Failed", deleting=True, started_at=None, node=None))
    assert found is not None
    assert found.message == "Pod tune-1-0-x was ended by its deletion"


def test_a_program_that_cannot_be_started_is_the_users_mistake() -> None:
    broken = ended_pod(128, exit_reason="StartError", termination_message='exec: "trian": not found')
    found = judge(broken, own_command=True)
    assert found is not None
    assert found.reason is Reason.INVALID_CONFIG
    assert '"trian"' in found.message


def test_the_termination_message_tells_what_happened() -> None:
    message = result("failed", Reason.DATA_ERROR, 11, "train.jsonl:7 is no JSON").to_termination_message()
    found = judge(ended_pod(11, termination_message=message))
    assert found is not None
    assert found.message == "train.jsonl:7 is no JSON"
    assert found.exit_code == 11


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        (
            "PodFailurePolicy",
            "Container trainer for pod a/b failed with exit code 11 matching FailJob rule",
            "DataError",
        ),
        (
            "PodFailurePolicy",
            "Container trainer for pod a/b failed with exit code 20 matching FailJob rule",
            "Interrupted",
        ),
        (
            "PodFailurePolicy",
            "Pod a/b has condition DisruptionTarget matching FailJob rule at index 0",
            "Preempted",
        ),
        ("BackoffLimitExceeded", "Job has reached the specified backoff limit", "Preempted"),
        ("DeadlineExceeded", "Job was active longer than specified deadline", "TrainerCrashed"),
    ],
)
def test_the_job_controller_speaks_for_pods_that_are_gone(reason: str, message: str, expected: str) -> None:
    assert verdict(job=failed(reason=reason, message=message))[1] == expected


def test_what_was_seen_of_a_pod_counts_when_it_is_gone() -> None:
    seen = Evidence(Reason.DIVERGED, "loss is NaN at step 7", 13, at(90))
    found = judge(job=failed(message="failed with exit code 21"), remembered=seen)
    assert found is not None
    assert (found.reason, found.message) == (Reason.DIVERGED, "loss is NaN at step 7")


def test_a_reported_result_counts_when_the_pod_is_gone() -> None:
    reported = result("failed", Reason.MODEL_LOAD_FAILED, 15, "no config.json")
    assert (
        verdict(job=failed(reason="BackoffLimitExceeded", message=""), reported=reported)[1]
        == "ModelLoadFailed"
    )


def test_a_running_job_has_not_ended() -> None:
    assert judge(ended_pod(1), job=child()) is None


def test_the_end_of_the_last_pod_is_waited_for_but_not_for_ever() -> None:
    still_running = pod()
    assert judge(still_running, job=failed()) is None
    late = 100 + EVIDENCE_DELAY.total_seconds()
    assert judge(still_running, job=failed(), seconds=late) is not None


@pytest.mark.parametrize("hours", [-5, 5])
def test_an_attempt_ends_with_its_job_whatever_the_clock_of_a_node_says(hours: int) -> None:
    """Else a back-off would be over before it began, or last for hours."""
    found = judge(ended_pod(1, seconds=3600 * hours))
    assert found is not None
    assert at(40) <= found.ended_at <= at(100)


class TestCompleteJob:
    def test_with_a_result_has_succeeded(self) -> None:
        done = ended_pod(0, termination_message=result(step=10).to_termination_message())
        found = judge(done, job=complete())
        assert found is not None
        assert (found.outcome, found.exit_code) == ("Succeeded", 0)
        assert found.ended_at == at(100)

    def test_without_a_result_is_waited_for_and_then_is_no_success(self) -> None:
        assert judge(ended_pod(0), job=complete()) is None
        assert verdict(ended_pod(0), job=complete(), seconds=111) == ("Failed", "TrainerCrashed")

    def test_of_a_users_program_needs_no_result(self) -> None:
        assert verdict(ended_pod(0), job=complete(), own_command=True) == ("Succeeded", "Succeeded")

    def test_with_a_result_that_says_otherwise_has_failed(self) -> None:
        message = result(
            "failed", Reason.OUTPUT_INVALID, 16, "adapter does not load"
        ).to_termination_message()
        assert verdict(ended_pod(0, termination_message=message), job=complete()) == (
            "Failed",
            "OutputInvalid",
        )

    def test_takes_the_result_of_node_zero(self) -> None:
        first = ended_pod(0, index=0, termination_message=result(step=10).to_termination_message())
        second = ended_pod(0, index=1, termination_message=result(step=9).to_termination_message())
        found = judge(second, first, job=complete())
        assert found is not None
        assert found.result is not None
        assert found.result.step == 10

    def test_prefers_the_termination_message_to_a_report(self) -> None:
        done = ended_pod(0, termination_message=result(step=10).to_termination_message())
        found = judge(done, job=complete(), reported=result(step=9))
        assert found is not None
        assert found.result is not None
        assert found.result.step == 10


class TestWithoutJob:
    otherwise = Ending("Suspended", Reason.SUSPENDED, "", at(200))

    def end(self, *pods: ObservedPod, reported: object = None, remembered: Evidence | None = None) -> Ending:
        return without_job(self.otherwise, pods, reported, remembered, own_command=False)  # type: ignore[arg-type]

    def test_an_attempt_ends_as_it_was_told_to(self) -> None:
        assert self.end() == self.otherwise
        interrupted = result("interrupted", Reason.INTERRUPTED, 20, step=5)
        assert self.end(ended_pod(20), reported=interrupted) == replace(
            self.otherwise, ended_at=at(100), result=interrupted
        )

    def test_a_crash_while_it_is_stopped_does_not_matter(self) -> None:
        assert self.end(ended_pod(1)).outcome == "Suspended"

    def test_a_verdict_matters(self) -> None:
        assert self.end(remembered=Evidence(Reason.DATA_ERROR, "", 11, at(1))).outcome == "Failed"

    def test_a_success_matters(self) -> None:
        assert self.end(reported=result()).outcome == "Succeeded"
