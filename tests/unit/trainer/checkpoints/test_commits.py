"""Commits go on beside the training, one at a time, and a failure is told once."""

import threading

import pytest

from finetune_trainer.checkpoints.commits import Commits
from finetune_trainer.errors import StorageError


def failing(error: Exception) -> None:
    raise error


def test_nobody_waits_for_a_commit_but_finish() -> None:
    commits, may_end, ended = Commits(), threading.Event(), threading.Event()

    def slow() -> None:
        may_end.wait(10)
        ended.set()

    commits.begin(slow)
    assert not ended.is_set()
    may_end.set()
    assert commits.finish() is None
    assert ended.is_set()


def test_a_failure_is_seen_before_finish_and_told_by_it_once() -> None:
    commits, error = Commits(), StorageError("full")
    commits.begin(lambda: failing(error))
    assert commits.thread is not None
    commits.thread.join(10)
    assert commits.has_failed
    assert commits.finish() is error
    assert not commits.has_failed
    assert commits.finish() is None


def test_what_is_no_storage_error_is_raised() -> None:
    commits = Commits()
    commits.begin(lambda: failing(KeyError("bug")))
    with pytest.raises(KeyError):
        commits.finish()
