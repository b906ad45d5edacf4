"""What every tracker is told, and the interface that each of them has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

Values = Mapping[str, float]
Outcome = Literal["succeeded", "failed", "interrupted"]


class TrackedRun(BaseModel):
    """The run as a tracker shows it. Holds no secret: keys travel in the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    """32 hexadecimal digits, the same for every attempt of a job."""
    name: str
    project: str
    workspace: str | None = None
    tags: list[str] = []
    url: str | None = None
    offline: bool = False
    directory: Path
    """Where this tracker may keep files; beside the checkpoints."""
    attempt: int
    resumed_step: int | None = None
    """Step that this attempt goes on from; None: it starts afresh, and what an earlier one wrote is void."""
    parameters: dict[str, str | int | float | bool] = {}
    """Settings by field path, and what was decided automatically under `effective.`."""


class Ending(BaseModel):
    """How the attempt ended. After an interruption the run goes on in another attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome
    message: str = ""
    metrics: dict[str, float] = {}
    """Last values."""


class Tracker(Protocol):
    """One library. Called from one thread, in a process that does nothing else; may block, and may raise
    whatever it likes."""

    def start(self, run: TrackedRun) -> None:
        """Begins the run, or takes it up again. Called again, some time later, when it has raised."""

    def log(self, step: int, values: Values) -> None:
        """One row of `metrics.jsonl`."""

    def upload(self, directory: Path, name: str) -> None:
        """Stores the files of a checkpoint; may use them until it returns."""

    def finish(self, ending: Ending) -> None:
        """Returns when all is where it belongs."""
