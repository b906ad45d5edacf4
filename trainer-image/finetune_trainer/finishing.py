"""What follows a run whose output is on the volume: rank 0 alone merges, asks benchmarks, and tells."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.state import AcceleratorState

from finetune_api.dataset import DataSource
from finetune_api.resolved import ResolvedJob
from finetune_api.status import EvaluationStatus, HubStatus, OutputStatus
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import InterruptedRunError
from finetune_trainer.evaluation.benchmarks import Benchmarks
from finetune_trainer.evaluation.generations import Generations
from finetune_trainer.hub.pushes import Hub, HubError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.output.card import Facts, describe_data, write_card
from finetune_trainer.output.export import Chosen, commit, shard_bytes
from finetune_trainer.output.merge import Base, merged_precision, write_merged
from finetune_trainer.paths import volume_path
from finetune_trainer.reporting import Reporter

log = logging.getLogger(__name__)

LONGEST_MESSAGE = 512
OF_A_RANK = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass
class Finishing:
    """The steps after training, in their order. `output`, `evaluation` and `hub` are what the status
    shows."""

    job: ResolvedJob
    train: DataSource
    """Where the training data was read."""
    base: Base
    precision: Precision
    """Of the run's arithmetic, in which the output was proved."""
    steps: int
    """That were trained."""
    chosen: Chosen
    """Whose weights the output has."""
    reporter: Reporter
    stop: StopRequest
    generations: Generations | None
    output: OutputStatus
    evaluation: EvaluationStatus | None = None
    hub: HubStatus | None = None

    def run(self) -> None:
        """Everything that `output` and `evaluation` ask for; the other ranks have ended.

        Raises `OutputInvalidError` and `StorageError` for a merged model that is not right.
        """
        _be_alone()
        if self.job.spec.output.merge_adapter:
            self._merge()
        if self.generations is not None:
            self.evaluation = EvaluationStatus(generations=self.generations.status())
        if self.job.spec.evaluation.benchmarks:
            self._ask_benchmarks()
        self.reporter.update(output=self.output, evaluation=self.evaluation)
        if self.job.spec.output.model_card:
            self._write_cards()
        if self.job.spec.output.hub is not None:
            self._push(Hub.of(self.job.spec.output.hub))
            self.reporter.update(hub=self.hub)

    def _merge(self) -> None:
        directory = Path(self.job.paths.output_directory)
        staged, target = directory / ".merged.tmp", directory / "merged"
        shutil.rmtree(staged, ignore_errors=True)
        write_merged(
            self.base,
            directory / "adapter",
            staged,
            precision=merged_precision(self.job.spec.output.precision, self.base),
            shard_bytes=shard_bytes(self.job),
            device=torch.device(self.job.device),
        )
        size = commit(staged, target, "merged", self.job, self.chosen.step)
        log.info("merged model is written to %s, and was loaded and run once", target)
        paths = {"merged_path": volume_path(target), "merged_bytes": size}
        self.output = self.output.model_copy(update=paths)
        self.reporter.update(output=self.output)

    def _ask_benchmarks(self) -> None:
        self.reporter.update(activity="evaluating", urgent=True)
        benchmarks = Benchmarks(
            job=self.job,
            base=self.base,
            result=Path(self.job.paths.output_directory) / self.output.kind,
            dtype=DTYPES[self.precision],
            check_stop=self._check_stop,
        )
        outcomes = benchmarks.run()
        shown = self.evaluation or EvaluationStatus()
        self.evaluation = shown.model_copy(
            update={"path": volume_path(benchmarks.directory), "benchmarks": outcomes}
        )

    def _write_cards(self) -> None:
        facts = Facts(
            job=self.job,
            base=self.base,
            output=self.output,
            steps=self.steps,
            chosen=self.chosen,
            metrics=self.reporter.metrics,
            effective=self.reporter.report.effective,
            evaluation=self.evaluation,
            data=describe_data(self.train, self.job.paths.train),
        )
        directory = Path(self.job.paths.output_directory)
        write_card(facts, directory / self.output.kind, merged=False)
        if self.output.merged_path is not None:
            write_card(facts, directory / "merged", merged=True)

    def _push(self, hub: Hub) -> None:
        """The result at the root of the repository, a merged model in its folder. A hub that does not take it
        is said in the status; the result is on the volume."""
        self.reporter.update(activity="uploading", urgent=True)
        directory = Path(self.job.paths.output_directory)
        self.hub = HubStatus(repository=hub.spec.id, revision=hub.spec.revision, step=self.chosen.step)
        after = f"after {self.chosen.step} steps"
        try:
            commit = hub.push(directory / self.output.kind, f"{self.output.kind} {after}")
            if self.output.merged_path is not None:
                commit = hub.push(directory / "merged", f"merged {after}", into="merged")
        except HubError as error:
            log.warning("the result is not on the hub: %s", error)
            place = volume_path(directory / self.output.kind)
            told: dict[str, object] = {"message": f"{error}. It is at {place}"[:LONGEST_MESSAGE]}
        else:
            told = {"commit": commit, "complete": True}
        self.hub = self.hub.model_copy(update=told)

    def _check_stop(self) -> None:
        if self.stop.requested:
            raise InterruptedRunError(
                f"told to end: the {self.output.kind} is written, the next attempt goes on with what follows"
            )


def _be_alone() -> None:
    """Forgets that there were other ranks: libraries would wait for them."""
    for name in OF_A_RANK:
        os.environ.pop(name, None)
    AcceleratorState._reset_state(reset_partial_state=True)
