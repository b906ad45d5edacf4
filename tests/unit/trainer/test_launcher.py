"""What a node makes of its ranks' ends, and what a rank is told."""

import signal
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from finetune_api import ExitCode, Reason, ResolvedJob, TrainingResult
from finetune_api.resolved import Rendezvous
from finetune_trainer import launcher
from finetune_trainer.errors import PeerLostError
from finetune_trainer.launcher import choose, decide, oom_kills, own_ends, rank_environment, rendezvous

KILL, TERM = -signal.SIGKILL, -signal.SIGTERM


@pytest.mark.parametrize(
    ("statuses", "killed_for_memory", "code"),
    [
        ([ExitCode.DATA_ERROR], False, ExitCode.DATA_ERROR),
        ([ExitCode.PEER_LOST, ExitCode.DATA_ERROR], False, ExitCode.DATA_ERROR),
        ([TERM, ExitCode.DIVERGED, KILL], False, ExitCode.DIVERGED),
        ([TERM, TERM, ExitCode.INTERRUPTED], False, ExitCode.INTERRUPTED),
        ([ExitCode.PEER_LOST, ExitCode.PEER_LOST], False, ExitCode.PEER_LOST),
        ([ExitCode.INTERRUPTED, ExitCode.INTERRUPTED], False, ExitCode.INTERRUPTED),
        ([ExitCode.INTERRUPTED, ExitCode.PEER_LOST], False, ExitCode.INTERRUPTED),
        ([KILL, ExitCode.PEER_LOST], False, ExitCode.CRASHED),
        ([KILL, ExitCode.PEER_LOST], True, ExitCode.OUT_OF_MEMORY),
        ([1, ExitCode.PEER_LOST, TERM], False, ExitCode.CRASHED),
        ([-signal.SIGSEGV, ExitCode.PEER_LOST], False, ExitCode.CRASHED),
        ([KILL], False, ExitCode.CRASHED),
    ],
)
def test_the_rank_that_knows_most_decides_the_exit_code(
    statuses: list[int], killed_for_memory: bool, code: ExitCode
) -> None:
    assert decide(statuses, killed_for_memory=killed_for_memory) is code


def failed(local_rank: int, exitcode: int, timestamp: int) -> ProcessFailure:
    failure = ProcessFailure(local_rank=local_rank, pid=1, exitcode=exitcode, error_file="/none")
    failure.timestamp = timestamp
    return failure


def test_ranks_that_were_ended_because_of_another_one_do_not_count() -> None:
    killed_first = [failed(0, ExitCode.PEER_LOST, 103), failed(1, KILL, 100)]
    assert own_ends(killed_first) == [KILL, ExitCode.PEER_LOST]
    stuck = [failed(0, ExitCode.PEER_LOST, 100), failed(1, KILL, 131)]
    assert own_ends(stuck) == [ExitCode.PEER_LOST]


def result(code: ExitCode, step: int = 7) -> TrainingResult:
    return TrainingResult(
        outcome="failed", reason=code.reason, message=code.meaning, exit_code=int(code), step=step
    )


def test_the_result_is_that_of_a_rank_that_ended_with_the_nodes_code() -> None:
    left = [result(ExitCode.PEER_LOST), result(ExitCode.DATA_ERROR)]
    assert choose(ExitCode.DATA_ERROR, [21, 11], left) == left[1]


def test_a_killed_ranks_result_is_made_up_from_what_the_others_know() -> None:
    made = choose(ExitCode.CRASHED, [KILL, 21], [result(ExitCode.PEER_LOST, step=7)])
    assert made is not None
    assert (made.reason, made.exit_code, made.step) == (Reason.TRAINER_CRASHED, 1, 7)
    assert made.message == "a rank ended (killed by SIGKILL)"


def test_a_rank_that_was_killed_for_memory_is_said_to_be() -> None:
    made = choose(ExitCode.OUT_OF_MEMORY, [KILL, 21], [])
    assert made is not None
    assert (made.reason, made.exit_code) == (Reason.OUT_OF_MEMORY, 12)
    assert "resources.memory" in made.message


def test_a_crash_without_a_word_names_the_exit_status() -> None:
    made = choose(ExitCode.CRASHED, [1], [])
    assert made is not None
    assert made.message == "a rank ended (exit status 1)"


def test_nodes_without_rank_0_have_nothing_to_say_when_all_is_well() -> None:
    assert choose(ExitCode.SUCCEEDED, [], []) is None


def two_nodes(job: ResolvedJob) -> ResolvedJob:
    return job.model_copy(
        update={"nodes": 2, "processes_per_node": 2, "master": Rendezvous(address="localhost", port=29512)}
    )


def test_ranks_are_numbered_node_by_node(make_job: object) -> None:
    assert callable(make_job)
    job = two_nodes(make_job())
    told = [rank_environment(job, node, local, "host", 29500) for node in range(2) for local in range(2)]
    assert [rank["RANK"] for rank in told] == ["0", "1", "2", "3"]
    assert [rank["LOCAL_RANK"] for rank in told] == ["0", "1", "0", "1"]
    assert {(rank["WORLD_SIZE"], rank["MASTER_ADDR"], rank["MASTER_PORT"]) for rank in told} == {
        ("4", "host", "29500")
    }


def test_several_nodes_meet_at_the_masters_name(make_job: object) -> None:
    assert callable(make_job)
    assert rendezvous(two_nodes(make_job())) == ("localhost", 29512)


def test_one_node_meets_on_a_port_of_its_own(make_job: object) -> None:
    assert callable(make_job)
    address, port = rendezvous(make_job())
    assert address == "127.0.0.1"
    assert port > 1023


def test_a_master_that_never_appears_is_a_lost_peer(
    make_job: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make_job)
    monkeypatch.setattr(launcher, "RESOLVE_SECONDS", 0.0)
    job = two_nodes(make_job())
    lost = job.model_copy(update={"master": Rendezvous(address="nowhere.invalid", port=29500)})
    with pytest.raises(PeerLostError, match=r"node 0 \(nowhere.invalid\) is not in DNS"):
        rendezvous(lost)


@pytest.mark.parametrize(
    "counted",
    [
        "low 0\nhigh 3\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    ],
    ids=["cgroup v2", "cgroup v1"],
)
def test_the_kernels_count_of_memory_kills_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: str
) -> None:
    events = tmp_path / "events"
    events.write_text(counted)
    monkeypatch.setattr(launcher, "MEMORY_EVENTS", (tmp_path / "none", events))
    assert oom_kills() == 2
    monkeypatch.setattr(launcher, "MEMORY_EVENTS", (tmp_path / "none",))
    assert oom_kills() == 0
