"""What one rank does for all: the others wait for it as long as it takes, and hear of its end either way."""

from pathlib import Path

import pytest

from finetune_trainer.distributed import BEAT_SECONDS, on_first_rank
from patient_ranks import TIMEOUT_SECONDS, WORK_SECONDS, patient_rank
from preloaded import forked

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
