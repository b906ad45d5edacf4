"""Checkpoints are whole or not there; the newest whole one of the same run is resumed from; rotation keeps
the best."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_trainer.checkpoints.manifest import VERSION, Manifest
from finetune_trainer.checkpoints.store import CheckpointStore, checkpoints_status
from finetune_trainer.errors import InvalidConfigError, StorageError
from finetune_trainer.files import FileEntry
from stored_checkpoints import NOW, commit, manifest, steps, tear


def state_of_rank(rank: int) -> FileEntry:
    return FileEntry(path=f"rng_state_{rank}.pth", bytes=0, sha256="")


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    made = CheckpointStore(tmp_path, keep=2, greater_is_better=False)
    made.prepare()
    return made


def test_a_committed_checkpoint_is_found_again_with_its_hashes(store: CheckpointStore) -> None:
    made = commit(store, 10)
    assert made.path.name == "step-00000010"
    found = store.newest_whole("ours")
    assert found == made
    assert [entry.path for entry in found.manifest.files] == ["model.safetensors"]
    assert found.ref().bytes == 10


def test_what_was_not_committed_is_not_there(store: CheckpointStore) -> None:
    (store.staging / "checkpoint-10").mkdir()
    assert store.newest_whole("ours") is None
    store.prepare()
    assert list(store.staging.iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda path: (path / "model.safetensors").write_bytes(b"w" * 19), "has 19 bytes, 20 were written"),
        (lambda path: (path / "model.safetensors").write_bytes(b"x" * 20), "SHA-256 differs"),
        (lambda path: (path / "model.safetensors").unlink(), "model.safetensors is missing"),
    ],
)
def test_a_torn_checkpoint_is_named_and_the_one_before_it_taken(
    store: CheckpointStore, harm: object, problem: str
) -> None:
    commit(store, 10)
    assert callable(harm)
    harm(commit(store, 20).path)
    named: list[str] = []
    found = store.newest_whole("ours", skipped=named.append)
    assert found is not None
    assert found.step == 10
    assert len(named) == 1
    assert named[0].startswith("checkpoint step-00000020 is skipped: ")
    assert problem in named[0]


def test_a_torn_checkpoint_takes_no_place_among_those_that_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1, greater_is_better=False)
    store.prepare()
    commit(store, 20, value=1.0)
    tear(commit(store, 43, value=2.0))
    found = store.newest_whole("ours")
    assert found is not None
    assert found.step == 20
    told = checkpoints_status(store)
    assert told.latest is not None
    assert told.latest.step == 20

    commit(store, 30, value=3.0)
    assert steps(store) == [20, 30], "the best one, and the one that a next attempt goes on from"
    assert sorted(path.name for path in store.directory.glob("step-*")) == ["step-00000020", "step-00000030"]


def test_a_step_that_was_torn_counts_again_once_it_is_done_again(store: CheckpointStore) -> None:
    commit(store, 10)
    tear(commit(store, 20))
    store.newest_whole("ours")
    commit(store, 20)
    assert steps(store) == [10, 20]


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"files": []}, "its manifest names no files"),
        ({"step": 30}, "its manifest is of step-00000030"),
        ({"files": [state_of_rank(1)]}, "it holds the random states of 1 of 2 ranks"),
    ],
)
def test_a_manifest_that_cannot_be_its_own_is_named_and_counts_for_nothing(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], flaw: str
) -> None:
    commit(store, 10)
    made = commit(store, 20)
    spoiled = made.manifest.model_copy(update=changes)
    (made.path / "manifest.json").write_text(spoiled.model_dump_json())
    assert steps(store) == [10]
    found = store.newest_whole("ours")
    assert found is not None
    assert found.step == 10
    assert f"checkpoint step-00000020 is skipped: {flaw}" in caplog.text


def test_nothing_is_committed_without_the_random_states_of_all_ranks(store: CheckpointStore) -> None:
    staged = store.staging / "checkpoint-20"
    staged.mkdir()
    (staged / "rng_state_0.pth").write_bytes(b"0")
    with pytest.raises(
        StorageError, match=r"random states of 1 of 2 ranks\. All ranks must write to the same"
    ):
        store.commit(staged, manifest(20))
    assert steps(store) == []
    (staged / "rng_state_1.pth").write_bytes(b"1")
    store.commit(staged, manifest(20))
    assert steps(store) == [20]


@pytest.mark.parametrize("text", ["", "{", '{"step": 3}'])
def test_a_manifest_that_cannot_be_read_is_no_checkpoint(store: CheckpointStore, text: str) -> None:
    commit(store, 10)
    (commit(store, 20).path / "manifest.json").write_text(text)
    found = store.newest_whole("ours")
    assert found is not None
    assert found.step == 10


def test_the_newest_are_kept_and_the_best_beside_them(store: CheckpointStore) -> None:
    for step, value in [(10, 3.0), (20, 1.0), (30, 2.0), (40, 2.5), (50, 2.0)]:
        commit(store, step, value=value)
    assert steps(store) == [20, 40, 50]
    best = store.best()
    assert best is not None
    assert (best.step, best.best_ref().metric, best.best_ref().value) == (20, "loss", "1")
    assert list(store.staging.iterdir()) == []


def test_a_higher_metric_may_be_the_better_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=5, greater_is_better=True)
    store.prepare()
    for step, value in [(10, 1.0), (20, 3.0), (30, 2.0), (40, 3.0)]:
        commit(store, step, value=value)
    best = store.best()
    assert best is not None
    assert best.step == 20


def test_without_evaluation_there_is_no_best(store: CheckpointStore) -> None:
    commit(store, 10)
    assert store.best() is None


def test_checkpoints_of_another_run_are_refused_with_a_way_out(store: CheckpointStore) -> None:
    commit(store, 10, lineage="theirs")
    with pytest.raises(InvalidConfigError, match=r"step-00000010 of job j.*subPath.*resume: never"):
        store.newest_whole("ours")


def test_checkpoints_can_be_set_aside_and_are_not_lost(store: CheckpointStore) -> None:
    commit(store, 10, lineage="theirs")
    aside = store.set_aside(NOW)
    assert aside is not None
    assert aside.name == "checkpoints-before-20260102T030405Z"
    assert (aside / "step-00000010" / "manifest.json").is_file()
    assert store.newest_whole("ours") is None
    assert store.set_aside(NOW) is None


def test_a_step_that_is_done_again_replaces_its_checkpoint(store: CheckpointStore) -> None:
    commit(store, 10, value=2.0)
    commit(store, 10, value=1.0)
    assert steps(store) == [10]
    best = store.best()
    assert best is not None
    assert best.manifest.value == 1.0


def test_values_of_different_metrics_are_never_compared(store: CheckpointStore) -> None:
    """A longer run may ask for another metric than the one before."""
    commit(store, 10, value=0.1)
    other = store.staging / "checkpoint-20"
    other.mkdir()
    (other / "model.safetensors").write_bytes(b"w")
    store.commit(other, manifest(20, value=0.9).model_copy(update={"metric": "accuracy"}))
    best = store.best()
    assert best is not None
    assert best.step == 20


def test_a_volume_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where a directory should be")
    with pytest.raises(StorageError, match="cannot be written"):
        CheckpointStore(tmp_path, keep=1, greater_is_better=False).prepare()


def test_a_failed_commit_leaves_the_last_checkpoint(store: CheckpointStore) -> None:
    commit(store, 10)
    with pytest.raises(StorageError):
        store.commit(store.staging / "never-written", manifest(20))
    assert steps(store) == [10]


def test_another_volume_in_the_place_of_the_first_is_noticed(store: CheckpointStore, tmp_path: Path) -> None:
    commit(store, 10)
    store.directory.rename(tmp_path / "away")
    staged = store.staging / "checkpoint-20"
    staged.mkdir(parents=True)
    with pytest.raises(StorageError, match="is no longer the volume that it was at the start"):
        store.commit(staged, manifest(20))
    assert (tmp_path / "away" / "step-00000010" / "manifest.json").is_file()


def test_a_checkpoint_of_a_newer_trainer_is_refused_rather_than_passed_over(store: CheckpointStore) -> None:
    """Passed over, its run would begin anew beside it."""
    commit(store, 10)
    newer = manifest(20).model_dump(mode="json") | {"version": VERSION + 1, "unheardOf": True}
    (commit(store, 20).path / "manifest.json").write_text(json.dumps(newer))
    with pytest.raises(InvalidConfigError, match=r"00000020 was written by a newer trainer .*version 2;"):
        store.newest_whole("ours")


def test_manifests_have_no_fields_that_nobody_knows() -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate(manifest(1).model_dump() | {"other": 1})
