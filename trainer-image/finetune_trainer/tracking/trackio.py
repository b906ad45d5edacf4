"""Trackio: a server of one's own (`url`), or its database beside the checkpoints."""

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from finetune_trainer.tracking.base import Ending, TrackedRun, Values

PRESENCE_SECONDS = 10.0


class TrackioTracker:
    """All attempts are one run. Trackio finds runs by name, so the name ends with the job's id."""

    def start(self, run: TrackedRun) -> None:
        """Trackio reads its directory from the environment when it is imported."""
        os.environ["TRACKIO_DIR"] = str(run.directory)
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        url = None if run.offline else run.url
        if url is not None:
            check_presence(url)
        self._remote = url is not None
        self._trackio: Any = trackio
        self._has_pending_data = SQLiteStorage.has_pending_data
        self._run: Any = trackio.init(
            project=run.project,
            name=f"{run.name}-{run.id[:8]}",
            server_url=url,
            config=dict(run.parameters),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, values: Values) -> None:
        """One row."""
        self._run.log(dict(values), step=step)

    def upload(self, directory: Path, name: str) -> None:
        """A version of the run's model artifact, under the checkpoint's name as alias."""
        artifact = self._trackio.Artifact(f"checkpoint-{self._run.name}", type="model")
        artifact.add_dir(str(directory))
        self._run.log_artifact(artifact, aliases=["latest", name])

    def finish(self, ending: Ending) -> None:  # noqa: ARG002 - it has no place for it
        """Waits until the rows are stored. Raises `ConnectionError` where the server has not taken all."""
        self._run.finish()
        if self._remote and self._has_pending_data(self._run.project):
            raise ConnectionError("what the server has not taken is in tracking/trackio, for trackio sync")


def check_presence(url: str) -> None:
    """Raises `OSError` when nobody answers: Trackio itself would quietly write to a local file."""
    try:
        with urllib.request.urlopen(url, timeout=PRESENCE_SECONDS):  # noqa: S310 - http, says validation
            pass
    except urllib.error.HTTPError:
        # it answers
        return
