"""All trackers of a run, as the training sees them: calls that return at once, and one bounded wait at the
end."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from finetune_api.resolved import ResolvedJob
from finetune_api.result import TrainingResult
from finetune_trainer.files import link_tree
from finetune_trainer.metrics import Line
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.base import Ending
from finetune_trainer.tracking.describe import DIRECTORY, tracked_run
from finetune_trainer.tracking.feed import Feed, Tally
from finetune_trainer.tracking.messages import Finish, Row, Start, Upload

log = logging.getLogger(__name__)

FINISH_SECONDS: Final = 30.0
"""Longest time that all trackers together hold up the end of a run."""

UPLOAD_SECONDS: Final = 300.0
"""The same, while one of them still uploads a checkpoint that it was asked to."""

INTERRUPTED_SECONDS: Final = 5.0
"""The same for a run that was told to end: its pod is about to be killed."""

NOT_METRICS: Final = frozenset({"step", "time"})


class Tracking:
    """The trackers of `spec.tracking`; none before `start`, and on every rank but the first."""

    def __init__(self, reporter: Reporter | None = None) -> None:
        self._reporter = reporter
        self._feeds: dict[str, Feed] = {}
        self._uploading: set[str] = set()
        self._outbox: Path | None = None

    def start(self, job: ResolvedJob, *, resumed_step: int | None, effective: Mapping[str, str]) -> None:
        """Starts a process for each tracker; call it on rank 0 alone. Raises nothing that a tracker does."""
        self._outbox = outbox = Path(job.paths.run_directory).absolute() / DIRECTORY / "outbox"
        shutil.rmtree(outbox, ignore_errors=True)
        for tracker in job.spec.tracking.trackers:
            run = tracked_run(job, tracker, resumed_step=resumed_step, effective=effective)
            try:
                self._feeds[tracker.type] = Feed(
                    tracker.type, Start(run=run), trouble=self._trouble_of(tracker.type)
                )
            except OSError as error:
                self._warn(tracker.type, f"{tracker.type} gets nothing of this run: {error}")
            else:
                if tracker.log_artifacts:
                    self._uploading.add(tracker.type)

    def log(self, line: Line) -> None:
        """Tells one line of `metrics.jsonl`."""
        values = {
            name: float(value)
            for name, value in line.items()
            if name not in NOT_METRICS and not isinstance(value, str)
        }
        row = Row(step=int(line["step"]), values=values)
        for feed in self._feeds.values():
            feed.offer(row)

    def upload(self, checkpoint: Path) -> None:
        """Has a committed checkpoint uploaded where that is asked for. It may be removed at once: trackers
        get hard links of their own (or copies), in a directory that they remove."""
        if self._outbox is None:
            return
        for tracker in sorted(self._uploading):
            copy = self._outbox / tracker / checkpoint.name
            try:
                link_tree(checkpoint, copy)
            except OSError as error:
                self._warn(tracker, f"{tracker} does not get {checkpoint.name}: {error}")
            else:
                self._feeds[tracker].offer(Upload(directory=copy, name=checkpoint.name))

    def finish(self, result: TrainingResult) -> None:
        """Tells how it ended, waits for the trackers within the bounds above, and says what was lost."""
        ending = Ending(
            outcome=result.outcome,
            message=result.message,
            metrics={name: float(value) for name, value in result.metrics.items()},
        )
        bound = INTERRUPTED_SECONDS if result.outcome == "interrupted" else FINISH_SECONDS
        began = time.monotonic()
        for feed in self._feeds.values():
            feed.conclude(Finish(ending=ending))
        for tracker, feed in self._feeds.items():
            end = began + bound
            if feed.tally.uploading and result.outcome == "succeeded":
                feed.wait_for_uploads(began + UPLOAD_SECONDS - time.monotonic())
                end = min(began + UPLOAD_SECONDS, time.monotonic() + bound)
            tally = feed.close(max(0.0, end - time.monotonic()))
            if tally.error:
                self._warn(tracker, summary(tracker, tally))
        self._feeds.clear()
        if self._outbox is not None:
            shutil.rmtree(self._outbox, ignore_errors=True)

    def _trouble_of(self, tracker: str) -> Callable[[str], None]:
        def say(error: str) -> None:
            self._warn(tracker, f"{tracker} is in trouble, training goes on: {error}")

        return say

    def _warn(self, tracker: str, text: str) -> None:
        """Says it in the log and to the operator, where the newest text on a tracker counts."""
        log.warning("%s", text)
        if self._reporter is not None:
            self._reporter.warn(tracker, text)


def summary(tracker: str, tally: Tally) -> str:
    """What a tracker in trouble has missed, in words, at the end."""
    if not tally.started:
        missed = f"got nothing of this attempt ({tally.rows} rows)"
    elif tally.lost or tally.uploaded < tally.uploads:
        missed = f"missed {tally.lost} of {tally.rows} rows"
        if tally.uploads:
            missed += f" and {tally.uploads - tally.uploaded} of {tally.uploads} checkpoints"
    elif not tally.finished:
        missed = f"took all {tally.rows} rows, but did not confirm the end: some may be missing there"
    else:
        missed = f"took all {tally.rows} rows"
    return f"{tracker} {missed}: {tally.error}. metrics.jsonl has all of them"
