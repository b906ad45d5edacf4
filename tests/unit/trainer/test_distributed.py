"""How ranks join, and what one of them does for all: the others wait for it as long as it takes, and hear of
its end either way."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from finetune_api import ResolvedJob
from finetune_trainer.distributed import BEAT_SECONDS, on_first_rank, start_process_group
from patient_ranks import TIMEOUT_SECONDS, WORK_SECONDS, patient_rank
from preloaded import forked

MakeJob = Callable[..., ResolvedJob]

SECONDS = 60.0


def told(directory: Path, *, fails: bool) -> list[str]:
    """What each of two ranks got."""
    ranks = [forked(patient_rank, rank, directory, fails) for rank in range(2)]
    for process in ranks:
        process.join(SECONDS)
        assert process.exitcode == 0
    return [(directory / str(rank)).read_text() for rank in range(2)]


@pytest.mark.slow
def test_no_timeout_of_the_process_group_ends_ranks_that_wait_for_the_first(tmp_path: Path) -> None:
    assert WORK_SECONDS > 2 * TIMEOUT_SECONDS
    assert told(tmp_path, fails=False) == ["hashed", "hashed"]


@pytest.mark.slow
def test_an_error_of_the_first_rank_ends_the_wait_of_the_others(tmp_path: Path) -> None:
    first, second = told(tmp_path, fails=True)
    assert first == "OSError: no such volume"
    assert second.startswith("PeerLostError: rank 0 could not do")


def test_the_shortest_timeout_that_a_job_may_ask_for_is_not_reached() -> None:
    from finetune_api.distributed import DistributedSpec

    shortest = next(
        bound.ge for bound in DistributedSpec.model_fields["timeout_seconds"].metadata if hasattr(bound, "ge")
    )
    assert shortest >= 4 * BEAT_SECONDS


def test_a_rank_alone_does_its_work_itself() -> None:
    assert on_first_rank(lambda: "done") == "done"


@pytest.mark.parametrize(
    ("device", "backend", "expected"),
    [
        ("cuda", "auto", ("nccl", torch.device("cuda", 1))),
        ("cuda", "gloo", ("gloo", None)),
        ("cpu", "auto", ("gloo", None)),
    ],
)
def test_nccl_is_told_the_gpu_of_the_rank(
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    backend: str,
    expected: tuple[str, torch.device | None],
) -> None:
    joined: list[tuple[str, torch.device | None]] = []

    def join(backend: str, *, timeout: timedelta, device_id: torch.device | None) -> None:
        joined.append((backend, device_id))
        assert timeout == timedelta(seconds=900)

    monkeypatch.setattr(dist, "init_process_group", join)
    monkeypatch.setenv("LOCAL_RANK", "1")
    distributed: dict[str, Any] = {"backend": backend, "timeoutSeconds": 900}
    start_process_group(make_job({"distributed": distributed}).model_copy(update={"device": device}))
    assert joined == [expected]
