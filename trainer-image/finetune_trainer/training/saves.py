"""Checkpoints of a run: rank 0 commits what all ranks have written, beside the next steps and the export."""

import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from transformers import TrainerState

from finetune_api.deepspeed import offloads, uses_deepspeed
from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_trainer.checkpoints.commits import Commits
from finetune_trainer.checkpoints.manifest import Manifest, library_versions
from finetune_trainer.checkpoints.store import CheckpointStore, checkpoints_status
from finetune_trainer.checkpoints.universal import write_names
from finetune_trainer.data.fingerprint import Fingerprint
from finetune_trainer.distributed import barrier, on_first_rank, rank
from finetune_trainer.hub.saves import HubSaves
from finetune_trainer.metrics import MetricsFile
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.training.progress import epoch_of

log = logging.getLogger(__name__)

WINDOW_FILE = "window.json"


@dataclass
class Saves:
    """All ranks call its methods alike. As a context, it waits at the end for the commit that goes on."""

    job: ResolvedJob
    store: CheckpointStore
    reporter: Reporter
    tracking: Tracking
    hub: HubSaves | None
    data: Fingerprint | None = None
    """Of the training data; only rank 0 needs it."""
    approximate: tuple[str, ...] = ()
    """Why the run is not what it would be without interruptions (`training/exactness.py`)."""
    commits: Commits = field(default_factory=Commits)
    saved_at: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        self.commits.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.commits.__exit__(*raised)

    @property
    def is_due(self) -> bool:
        """Whether this rank's clock says that `checkpoints.everyMinutes` are over."""
        minutes = self.job.spec.checkpoints.every_minutes
        return minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes

    def restart_clock(self) -> None:
        """From now on `checkpoints.everyMinutes` are counted."""
        self.saved_at = time.monotonic()

    def begin(
        self, state: TrainerState, kept: dict[str, Any], score: float | None, *, model: Any, optimizer: Any
    ) -> None:
        """Begins to commit what transformers has just written, once every rank has written its part. The
        commit before must be finished.

        `kept` is what a resumed run takes up, `score` the metric of these weights, where it is known.
        """
        staged = self.store.staging / f"checkpoint-{state.global_step}"
        if rank() == 0:
            (staged / WINDOW_FILE).write_text(json.dumps(kept), encoding="utf-8")
            write_names(staged, model, optimizer)
        barrier()
        if rank() == 0:
            manifest = self._manifest(state, score)
            self.store.reserve(staged, manifest)
            self.commits.begin(lambda: self._commit(staged, manifest))
        self.restart_clock()

    def finish(self) -> None:
        """Waits for the last commit, on all ranks. Raises `StorageError` on each of them when it failed."""
        failure = on_first_rank(self.commits.finish)
        if failure is not None:
            raise failure

    def _commit(self, staged: Path, manifest: Manifest) -> None:
        """On a thread of rank 0, beside what comes next."""
        # a run that goes on from here keeps the lines up to here: they must be there
        MetricsFile(Path(self.job.paths.run_directory)).sync()
        checkpoint = self.store.commit(staged, manifest)
        self.reporter.update(checkpoints=checkpoints_status(self.store), urgent=True)
        log.info("checkpoint of step %d is committed", manifest.step)
        self.tracking.upload(checkpoint.path)
        if self.hub is not None:
            self.hub.offer(checkpoint)

    def _manifest(self, state: TrainerState, score: float | None) -> Manifest:
        spec = self.job.spec
        return Manifest(
            job=self.job.job.name,
            job_uid=self.job.job.uid,
            attempt=self.job.attempt,
            lineage=lineage_hash(spec),
            step=state.global_step,
            epoch=epoch_of(state),
            world_size=self.job.world_size,
            zero_stage=spec.distributed.stage_of_zero,
            deepspeed=uses_deepspeed(spec.distributed, self.job.world_size),
            offload=offloads(spec.distributed, "offload_optimizer"),
            time=datetime.now(UTC),
            metric=None if score is None else spec.checkpoints.metric,
            value=score,
            data=self.data,
            device=self.job.device,
            micro_batch=spec.training.sequences_per_pass,
            approximate=self.approximate,
            libraries=library_versions(),
        )
