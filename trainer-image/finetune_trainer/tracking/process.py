"""`python -m finetune_trainer.tracking.process TYPE`: one tracker, driven by messages on standard input.

A process, since these libraries start threads and servers, register exit handlers, block for minutes, and at
times end the interpreter. Whatever they do here, the training does not feel it. Replies go to what was
standard output; what the libraries print goes nowhere, or to standard error, of which rank 0 shows the end
when this process dies.
"""

import importlib
import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import BinaryIO, Final

from finetune_api.tracking import KEY_VARIABLES
from finetune_trainer.tracking.base import Ending, Tracker
from finetune_trainer.tracking.messages import REQUEST, Finish, Reply, Row, Start, Upload

TRACKERS: Final = {
    "tensorboard": ("finetune_trainer.tracking.tensorboard", "TensorboardTracker"),
    "wandb": ("finetune_trainer.tracking.wandb", "WandbTracker"),
    "comet": ("finetune_trainer.tracking.comet", "CometTracker"),
    "phoenix": ("finetune_trainer.tracking.phoenix", "PhoenixTracker"),
    "mlflow": ("finetune_trainer.tracking.mlflow", "MlflowTracker"),
    "trackio": ("finetune_trainer.tracking.trackio", "TrackioTracker"),
}
"""Module and class of each; imported only where it is used."""

START_AGAIN_SECONDS: Final = 15.0
"""Between two tries to reach a tracker at the start."""

NICENESS: Final = 5
"""Where CPU time is short, training goes first."""

ERROR_LENGTH: Final = 200

SHORTEST_KEY: Final = 6
"""What is shorter is a part of many words."""


def main(arguments: list[str]) -> int:
    """Serves one run; returns the exit status, but is mostly ended by `os._exit`."""
    module, name = TRACKERS[arguments[0]]
    os.nice(NICENESS)
    # kept from the processes that the libraries start: these must not hold the pipes open
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    serve(getattr(importlib.import_module(module), name)(), requests, replies)
    # exit handlers of the libraries would wait for servers once more
    os._exit(0)


def serve(tracker: Tracker, requests: BinaryIO, replies: BinaryIO) -> None:
    """Carries out messages until the last one, or until rank 0 is gone."""
    for line in requests:
        request = REQUEST.validate_json(line)
        while True:
            error = carry_out(tracker, request)
            replies.write(Reply(kind=request.kind, error=error).model_dump_json().encode() + b"\n")
            if error is None or not isinstance(request, Start):
                break
            time.sleep(START_AGAIN_SECONDS)
        if isinstance(request, Finish):
            return
    carry_out(tracker, Finish(ending=Ending(outcome="failed", message="rank 0 is gone")))


def carry_out(tracker: Tracker, request: Start | Row | Upload | Finish) -> str | None:
    """Does what a message asks for; what went wrong, in a line, or None."""
    try:
        match request:
            case Start(run=run):
                run.directory.mkdir(parents=True, exist_ok=True)
                tracker.start(run)
            case Row(step=step, values=values):
                tracker.log(step, values)
            case Upload(directory=directory, name=name):
                try:
                    tracker.upload(directory, name)
                finally:
                    shutil.rmtree(directory, ignore_errors=True)
            case Finish(ending=ending):
                tracker.finish(ending)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the libraries raise anything; rank 0 is told
        return one_line(f"{type(error).__name__}: {error}")
    return None


def one_line(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The first line with content, cut, and without any tracker's key."""
    for variable in KEY_VARIABLES.values():
        key = environment.get(variable, "")
        if len(key) >= SHORTEST_KEY:
            text = text.replace(key, "***")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[0] if lines else ""
    return line if len(line) <= ERROR_LENGTH else f"{line[: ERROR_LENGTH - 2]} …"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
