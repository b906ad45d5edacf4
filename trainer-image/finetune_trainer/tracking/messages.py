"""What rank 0 and a tracker's process say to one another: JSON, one message a line."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from finetune_trainer.tracking.base import Ending, TrackedRun


class Message(BaseModel):
    """Closed and frozen, like everything that crosses a border."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(Message):
    """The first message."""

    kind: Literal["start"] = "start"
    run: TrackedRun


class Row(Message):
    """One row of metrics."""

    kind: Literal["row"] = "row"
    step: int
    values: dict[str, float]


class Upload(Message):
    """A directory that is the receiver's to read, and to remove afterwards."""

    kind: Literal["upload"] = "upload"
    directory: Path
    name: str


class Finish(Message):
    """The last message."""

    kind: Literal["finish"] = "finish"
    ending: Ending


class Reply(Message):
    """What became of a message; an error is one line without secrets."""

    kind: Literal["start", "row", "upload", "finish"]
    error: str | None = None


Request = Annotated[Start | Row | Upload | Finish, Field(discriminator="kind")]
REQUEST: TypeAdapter[Start | Row | Upload | Finish] = TypeAdapter(Request)
