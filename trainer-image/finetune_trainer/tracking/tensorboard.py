"""TensorBoard: event files beside the checkpoints, written by TensorBoard's own writer (that of torch would
load all of torch)."""

import time

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from finetune_trainer.tracking.base import Ending, TrackedRun, Values
from finetune_trainer.tracking.unused import NoUploads

FLUSH_SECONDS = 10


class TensorboardTracker(NoUploads):
    """Each attempt writes a file of its own into the run's directory; TensorBoard reads them as one run."""

    def start(self, run: TrackedRun) -> None:
        """Rows of an earlier attempt from behind the resumed step are void, as a session's start says."""
        self._writer = EventFileWriter(str(run.directory), flush_secs=FLUSH_SECONDS)
        self._write(
            step=(run.resumed_step or 0) + 1, session_log=SessionLog(status=SessionLog.SessionStatus.START)
        )
        self._write(step=0, summary=hparams_pb(run.parameters, trial_id=run.id))

    def log(self, step: int, values: Values) -> None:
        """Scalars by the names that `metrics.jsonl` has."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=scalars))

    def finish(self, ending: Ending) -> None:  # noqa: ARG002 - it has no place for it
        """Closes the file."""
        self._writer.close()

    def _write(self, **content: object) -> None:
        self._writer.add_event(Event(wall_time=time.time(), **content))
