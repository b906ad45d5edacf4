"""The queue before a tracker: nothing in it makes anybody wait, and it knows what was lost."""

import sys
import time
from pathlib import Path

import pytest

from finetune_trainer.tracking.base import Ending
from finetune_trainer.tracking.feed import Feed, Tally
from finetune_trainer.tracking.messages import Finish, Row, Start, Upload
from trackers import tracked

GOOD = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"kind": json.loads(line)["kind"]}), flush=True)
"""
FAILING = """
import json, sys
for line in sys.stdin:
    kind = json.loads(line)["kind"]
    print(json.dumps({"kind": kind, "error": "too large" if kind == "upload" else None}), flush=True)
"""
DEAF = "import time; time.sleep(600)"
UNREACHABLE = """
import time
print('{"kind": "start", "error": "ConnectionError: nobody there"}', flush=True)
time.sleep(600)
"""
CRASHING = "import sys; sys.stdin.readline(); sys.exit('no such project for key-123')"
FINISH = Finish(ending=Ending(outcome="succeeded"))
AT_ONCE = 0.5
"""Seconds; what does not wait takes a few milliseconds."""


class Told:
    """A feed to a program, and what it has complained of."""

    def __init__(self, program: str, directory: Path, *, capacity: int = 100) -> None:
        self.trouble: list[str] = []
        self.feed = Feed(
            "wandb",
            Start(run=tracked(directory)),
            trouble=self.trouble.append,
            environment={"WANDB_API_KEY": "key-123"},
            command=[sys.executable, "-c", program],
            capacity=capacity,
        )

    def rows(self, count: int) -> "Told":
        for step in range(1, count + 1):
            self.feed.offer(Row(step=step, values={"loss": 1.0}))
        return self

    def end(self, seconds: float) -> Tally:
        self.feed.conclude(FINISH)
        return self.feed.close(seconds)


def test_every_row_is_taken_by_a_tracker_that_works(tmp_path: Path) -> None:
    told = Told(GOOD, tmp_path).rows(50)
    tally = told.end(30)
    assert (tally.rows, tally.kept, tally.lost) == (50, 50, 0)
    assert tally.finished
    assert told.trouble == []


def test_a_tracker_that_never_reads_holds_up_nobody_and_ends_with_its_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    told = Told(DEAF, tmp_path, capacity=10).rows(20_000)
    offered = time.monotonic()
    tally = told.end(0.2)
    assert offered - began < 5.0  # 20,000 rows
    assert time.monotonic() - offered < 0.2 + AT_ONCE
    assert (tally.rows, tally.kept) == (20_000, 0)
    assert told.trouble == ["not done 0 s after the end of the run"]


def test_a_full_queue_drops_its_oldest_row(tmp_path: Path) -> None:
    told = Told(DEAF, tmp_path, capacity=10)
    with told.feed._changed:  # nothing is sent meanwhile
        waiting = list(told.rows(20_000).feed._waiting)
    steps = [message.step for message in waiting if isinstance(message, Row)]
    assert len(waiting) == 10
    assert steps == list(range(20_001 - len(steps), 20_001))
    told.end(0.0)


def test_a_tracker_that_cannot_be_reached_is_not_waited_for(tmp_path: Path) -> None:
    told = Told(UNREACHABLE, tmp_path).rows(3)
    began = time.monotonic()
    tally = told.end(60)
    assert time.monotonic() - began < 10
    assert not tally.started
    assert told.trouble == ["ConnectionError: nobody there"]


def test_a_tracker_that_dies_is_told_of_once_with_its_last_words_and_without_its_key(tmp_path: Path) -> None:
    told = Told(CRASHING, tmp_path)
    tally = told.rows(3).end(60)
    assert tally.lost == 3
    assert told.trouble == ["its process ended with status 1: no such project for ***"]


def test_a_newer_checkpoint_takes_the_place_of_one_that_was_not_sent(tmp_path: Path) -> None:
    told = Told(DEAF, tmp_path)
    # more than a pipe holds: what follows stays in the queue
    told.feed.offer(Row(step=1, values={f"metric{number}": 1.0 for number in range(10_000)}))
    directories = [tmp_path / "outbox" / name for name in ("step-1", "step-2")]
    for directory in directories:
        directory.mkdir(parents=True)
        told.feed.offer(Upload(directory=directory, name=directory.name))
    assert [directory.exists() for directory in directories] == [False, True]
    tally = told.end(0.0)
    assert (tally.uploads, tally.uploaded, tally.given_up) == (2, 0, 1)
    assert not directories[1].exists()


@pytest.mark.parametrize("program", [GOOD, FAILING], ids=["stored", "failed"])
def test_only_a_checkpoint_that_is_on_its_way_is_waited_for(tmp_path: Path, program: str) -> None:
    told = Told(program, tmp_path)
    told.feed.offer(Upload(directory=tmp_path / "step-1", name="step-1"))
    began = time.monotonic()
    told.feed.wait_for_uploads(60)
    assert time.monotonic() - began < 10
    assert not told.feed.tally.uploading
    told.end(30)


def test_a_checkpoint_that_is_never_stored_is_waited_for_within_the_limit(tmp_path: Path) -> None:
    told = Told(DEAF, tmp_path)
    told.feed.offer(Upload(directory=tmp_path / "step-1", name="step-1"))
    began = time.monotonic()
    told.feed.wait_for_uploads(0.2)
    assert 0.2 <= time.monotonic() - began < 0.2 + AT_ONCE
    assert told.feed.tally.uploading
    told.end(0.0)
