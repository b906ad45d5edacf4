"""A process that is killed anywhere between the first byte of a commit and the last of its rotation: the
newest whole checkpoint is found, the best one is still there, and the run goes on."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.checkpoints.store import CheckpointStore
from stored_checkpoints import commit, steps, tear

CHANGES = ("fsync", "rename", "unlink", "rmdir", "mkdir")
"""The calls by which a commit changes what is on the disk, of the module `os`."""


class Killed(BaseException):
    """Nothing in the product catches it, as nothing catches a SIGKILL."""


class Killer:
    """Lets so many changes happen; from then on the process is dead and changes nothing more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self.last = ""
        self._lock = threading.Lock()
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                if self.left == 0:
                    self.last = self.last or name
                    raise Killed
                self.left -= 1
            return change(*args, **kwargs)

        return counted


def opened(directory: Path) -> CheckpointStore:
    return CheckpointStore(directory, keep=1, greater_is_better=False)


def before_the_kill(directory: Path, *, again: bool) -> CheckpointStore:
    """The best checkpoint is of step 10, the newest of step 20; or step 30 was there too, and torn."""
    store = opened(directory)
    store.prepare()
    commit(store, 10, value=1.0)
    commit(store, 20, value=2.0)
    if again:
        store.keep = 2
        tear(commit(store, 30, value=3.0))
        store.keep = 1
        store.newest_whole("ours")
    return store


@pytest.mark.parametrize("again", [False, True], ids=["a new step", "a torn step again"])
def test_a_commit_that_is_killed_anywhere_leaves_the_newest_whole_checkpoint(
    tmp_path: Path, again: bool
) -> None:
    killed_at, newest = set(), []
    for after in range(200):
        directory = tmp_path / str(after)
        store = before_the_kill(directory, again=again)
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(patch, after)
            try:
                commit(store, 30, value=3.0)
            except Killed:
                killed_at.add(killer.last)
            else:
                break

        restarted = opened(directory)
        found = restarted.newest_whole("ours")
        assert found is not None
        newest.append(found.step)
        restarted.prepare()
        best = restarted.best()
        assert best is not None
        assert (best.step, restarted.is_whole(best)) == (10, True)
        commit(restarted, 40, value=4.0)
        assert steps(restarted) == [10, 40]
        assert sorted(path.name for path in restarted.directory.iterdir()) == [
            ".writing",
            "step-00000010",
            "step-00000040",
        ]
    else:
        pytest.fail("the commit never came to its end")
    assert killed_at == set(CHANGES)
    assert set(newest) == {20, 30}
    assert newest == sorted(newest), "from the rename on, the new checkpoint is there"


def test_a_step_that_is_saved_again_is_away_between_two_renames_only(tmp_path: Path) -> None:
    found = []
    for after in range(200):
        store = opened(tmp_path / str(after))
        store.prepare()
        commit(store, 20)
        with pytest.MonkeyPatch.context() as patch:
            Killer(patch, after)
            try:
                commit(store, 20, value=1.0)
            except Killed:
                found.append(opened(tmp_path / str(after)).newest_whole("ours"))
            else:
                break
    assert found.count(None) == 1
