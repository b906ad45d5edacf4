"""What is said of a run that did not go on exactly, for as long as it is true of its weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.checkpoints.manifest import library_versions
from finetune_trainer.checkpoints.store import Checkpoint
from finetune_trainer.data.fingerprint import Fingerprint
from finetune_trainer.training.exactness import LONGEST, Exactness, exactness
from stored_checkpoints import manifest

MakeJob = Callable[..., ResolvedJob]

TWO_RANKS = {"distributed": {"processesPerNode": 2, "zeroStage": 2}}
THEN, NOW = Fingerprint(items=20, sha256="a" * 64), Fingerprint(items=25, sha256="b" * 64)
OTHER_DATA = (
    "the training data is not what it was at step 10 (20 items, SHA-256 aaaaaaaaaaaa then; 25 items, "
    "SHA-256 bbbbbbbbbbbb now)"
)


def checkpoint(**known: Any) -> Checkpoint:
    """Of step 10, on two ranks under ZeRO stage 2."""
    return Checkpoint(Path("step-00000010"), manifest(10).model_copy(update=known))


def test_a_run_that_begins_or_goes_on_as_it_was_is_exact(make_job: MakeJob) -> None:
    known = checkpoint(data=THEN, device="cpu", micro_batch=2, libraries=library_versions())
    for found in (exactness(None, make_job(), NOW), exactness(known, make_job(TWO_RANKS), THEN)):
        assert found == Exactness()
        assert found.effective(10) == {}
        assert found.last_word is None


def test_what_a_checkpoint_does_not_know_is_taken_to_be_the_same(make_job: MakeJob) -> None:
    assert exactness(checkpoint(), make_job(TWO_RANKS), NOW) == Exactness()


@pytest.mark.parametrize(
    ("known", "spec", "said"),
    [
        ({}, {}, "step 10 was written by 2 ranks under ZeRO stage 2; same order of data"),
        ({"data": THEN}, TWO_RANKS, OTHER_DATA),
        ({"data": THEN}, {}, f"step 10 was written by 2 ranks under ZeRO stage 2; {OTHER_DATA}"),
        (
            {"device": "cuda"},
            TWO_RANKS,
            "step 10 was computed on cuda, this attempt is on cpu; same order of data",
        ),
        (
            {"micro_batch": 4},
            TWO_RANKS,
            "micro-batches up to step 10 were of 4, and are of 2 now; same order of data",
        ),
        (
            {"libraries": {"torch": "1.0", "gone": "2"}},
            TWO_RANKS,
            "step 10 was computed with torch 1.0; same order of data",
        ),
        ({"libraries": {"numpy": "1.0"}}, TWO_RANKS, "step 10 was computed with numpy 1.0"),
    ],
    ids=["layout", "data", "layout and data", "device", "micro-batch", "libraries", "what makes the order"],
)
def test_whatever_makes_a_resume_approximate_is_named(
    make_job: MakeJob, known: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    found = exactness(checkpoint(**known), make_job(spec), NOW)
    assert found.now == said
    assert found.effective(10) == {"resume": f"approximate: {said}"}
    assert found.last_word == f"the run is approximate: {said}"


def test_an_exact_resume_of_an_approximate_run_still_says_what_it_is(make_job: MakeJob) -> None:
    known = checkpoint(approximate=("step 4 was written by 1 rank",))
    found = exactness(known, make_job(TWO_RANKS), None)
    assert found.effective(10) == {
        "resume": "from step 10; approximate before that: step 4 was written by 1 rank"
    }
    assert found.reasons == ("step 4 was written by 1 rank",)


def test_reasons_add_up_and_never_take_more_room_than_a_status_has(make_job: MakeJob) -> None:
    known = checkpoint(data=THEN, approximate=("step 4 was written by 1 rank",) * 9)
    found = exactness(known, make_job(), NOW)
    assert len(found.reasons) == 10
    word = found.effective(10)["resume"]
    assert word.startswith(
        "approximate: step 10 was written by 2 ranks under ZeRO stage 2; the training data"
    )
    assert word.endswith(" …")
    assert len(word) == LONGEST


def test_the_reasons_of_a_checkpoint_are_those_of_its_own_past_only(make_job: MakeJob) -> None:
    """A run that goes back behind an approximate resume is exact again."""
    torn = checkpoint(approximate=("step 4 was written by 1 rank",))
    older = replace(torn, manifest=manifest(4))
    assert exactness(older, make_job(TWO_RANKS), None) == Exactness()
