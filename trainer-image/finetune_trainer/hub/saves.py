"""Pushes of checkpoints while training goes on: by a thread of rank 0 that training never waits for."""

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from finetune_api.resolved import ResolvedJob
from finetune_api.status import HubStatus
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore
from finetune_trainer.files import link_tree
from finetune_trainer.hub.pushes import WEIGHTS, Hub, HubError
from finetune_trainer.methods import Start
from finetune_trainer.methods.loadable import is_loadable, make_loadable
from finetune_trainer.reporting import Reporter

log = logging.getLogger(__name__)

MODEL_FILES: Final = (
    "adapter_*",
    WEIGHTS,
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
)
"""What of a checkpoint is a model that loads."""
WHOLE: Final = "last-checkpoint"
"""Folder of the repository with everything that resuming needs."""
DIRECTORY: Final = ".hub"


@dataclass
class HubSaves:
    """Pushes the newest committed checkpoint; one that came while another was on its way is left out if a
    newer one comes. Only rank 0 has it."""

    hub: Hub
    store: CheckpointStore
    pushed: Callable[[int, str], None]
    """Told the step and the commit of each push."""
    failed: Callable[[int, str], None]
    """Told the step of each push that was given up, and why."""
    start: Start
    """What the checkpoints' adapters started from."""
    _waiting: tuple[int, Path] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closing: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._thread.start()

    def offer(self, checkpoint: Checkpoint) -> None:
        """Takes a checkpoint that has just been committed."""
        copy = self.store.directory / DIRECTORY / checkpoint.path.name
        try:
            link_tree(checkpoint.path, copy)
        except OSError as error:
            log.warning("step %d is not pushed: %s", checkpoint.step, error)
            return
        with self._changed:
            if self._waiting is not None:
                shutil.rmtree(self._waiting[1], ignore_errors=True)
            self._waiting = checkpoint.step, copy
            self._changed.notify()

    def close(self, *, finish: bool) -> None:
        """Ends the thread: after the push that is on its way (`finish`), or without waiting for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if finish:
            self._thread.join()
            shutil.rmtree(self.store.directory / DIRECTORY, ignore_errors=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._waiting is not None)
                if self._closing or self._waiting is None:
                    return
                (step, directory), self._waiting = self._waiting, None
            try:
                commit = self._push(step, directory)
            # and whatever else: the next checkpoint will be tried again
            except Exception as error:  # noqa: BLE001
                known = isinstance(error, HubError | OSError)
                self.failed(step, str(error) if known else f"{type(error).__name__}: {error}")
            else:
                self.pushed(step, commit)
            shutil.rmtree(directory, ignore_errors=True)

    def _push(self, step: int, directory: Path) -> str:
        commit = self._push_model(step, directory)
        if self.hub.spec.strategy == "checkpoint":
            message = f"Checkpoint of step {step}"
            commit = self.hub.push(directory, message, into=WHOLE, replacing=True)
        return commit

    def _push_model(self, step: int, directory: Path) -> str:
        """What loads, as the result will; in files of its own where it is not what the checkpoint holds,
        since those of `directory` are the checkpoint's too."""
        message = f"Step {step}"
        if is_loadable(directory, self.start):
            return self.hub.push(directory, message, only=MODEL_FILES)
        copy = directory.with_name(f"{directory.name}-copy")
        try:
            copy.mkdir(exist_ok=True)
            for file in {file for pattern in MODEL_FILES for file in directory.glob(pattern)}:
                shutil.copyfile(file, copy / file.name)
            make_loadable(copy, self.start)
            return self.hub.push(copy, message, only=MODEL_FILES)
        finally:
            shutil.rmtree(copy, ignore_errors=True)


def hub_saves(job: ResolvedJob, store: CheckpointStore, start: Start, reporter: Reporter) -> HubSaves | None:
    """What pushes the checkpoints of a job; None where its strategy is to push the result alone."""
    spec = job.spec.output.hub
    if spec is None or spec.strategy == "end":
        return None

    def pushed(step: int, commit: str) -> None:
        log.info("the checkpoint of step %d is on the hub", step)
        shown = HubStatus(repository=spec.id, revision=spec.revision, step=step, commit=commit)
        reporter.update(hub=shown)

    def failed(step: int, why: str) -> None:
        log.warning("the checkpoint of step %d is not on the hub: %s", step, why)
        reporter.warn("hub", f"output.hub: the checkpoint of step {step} is not on the hub: {why}")

    return HubSaves(Hub.of(spec), store, pushed, failed, start)
