"""`Trainer`: a model from scratch on any torch Dataset of token ids, with the engine that runs the jobs."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_api import ResolvedJob, TrainingResult
from finetune_api.lineage import lineage_hash
from finetune_trainer import results
from finetune_trainer.assembly import guard
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore
from finetune_trainer.data.cache import exclusive
from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.order import data_order
from finetune_trainer.distributed import end_process_group, on_first_rank, rank, start_process_group
from finetune_trainer.errors import InvalidConfigError, classify
from finetune_trainer.files import staged_as
from finetune_trainer.interruption import StopRequest
from finetune_trainer.metrics import MetricsFile, MetricsTracker, compute_perplexity
from finetune_trainer.model.models import create_base, load_base
from finetune_trainer.model.precision import effective_precision, take_device
from finetune_trainer.model.tokenizers import Tokenizer
from finetune_trainer.python_api.config import InvalidTrainingConfigError, TrainingConfig
from finetune_trainer.python_api.spec import resolved
from finetune_trainer.python_api.tokens import NoTokenizer, TokenDataset
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.training.arguments import training_arguments
from finetune_trainer.training.callbacks import RunCallback
from finetune_trainer.training.exactness import exactness
from finetune_trainer.training.guards import is_a_norm
from finetune_trainer.training.progress import Progress
from finetune_trainer.training.saves import Saves
from finetune_trainer.training.trainer import FineTuneTrainer
from finetune_trainer.training.watch import watch

log = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"


class Trainer:
    """Trains by a `TrainingConfig`; under torchrun, on all its ranks.

    In `config.checkpoint_dir` it leaves `config.yaml`, `metrics.jsonl` and `checkpoints/`, each checkpoint
    whole or not there.
    """

    def __init__(self, config: TrainingConfig, train_dataset: Any, val_dataset: Any | None = None) -> None:
        """Datasets give token ids: one-dimensional tensors, arrays or lists of integers.

        Raises `InvalidTrainingConfigError`.
        """
        config.validate()
        self.config = config
        self.train_dataset = self._tokens(train_dataset, "train_dataset")
        self.val_dataset = None if val_dataset is None else self._tokens(val_dataset, "val_dataset")
        self.metrics_tracker = MetricsTracker()
        self.model: torch.nn.Module | None = None
        """The model that was trained last."""
        self._reporter = Reporter([])

    def train(self) -> None:
        """Trains up to `config.max_steps`.

        Raises `DataError`, `DivergedError`, `StorageError` and other `TrainerError`s, and
        `InterruptedRunError` when a SIGTERM or SIGINT ended the run at a step boundary, with a checkpoint.
        """
        self.config.validate()
        job = resolved(self.config, device="cuda" if torch.cuda.is_available() else "cpu")
        self._reporter = Reporter([])
        tracking = Tracking(self._reporter)
        stop = StopRequest()
        with _process_group(job), _signals_to(stop):
            try:
                result = self._run(job, stop, tracking)
            except Exception as error:
                known = classify(error, ranks=job.world_size, volume=Path(job.paths.run_directory))
                tracking.finish(results.failure(known, self._reporter))
                if known is error:
                    raise
                raise known from error
            tracking.finish(result)

    def get_throughput(self) -> dict[str, float]:
        """Tokens and samples per second over the last logging interval, all ranks together; zeros before, and
        on other ranks than the first."""
        metrics = self._reporter.metrics
        return {
            "tokens_per_second": float(metrics.get("tokensPerSecond", 0.0)),
            "samples_per_second": float(metrics.get("samplesPerSecond", 0.0)),
        }

    def _run(self, job: ResolvedJob, stop: StopRequest, tracking: Tracking) -> TrainingResult:
        os.environ["DISABLE_KUBEFLOW_INTEGRATION"] = "TRUE"
        spec = job.spec
        directory = Path(job.paths.run_directory)
        store = CheckpointStore(directory, keep=spec.checkpoints.keep, greater_is_better=False)
        checkpoint = on_first_rank(lambda: self._prepare(job, store))
        fingerprint = on_first_rank(self.train_dataset.fingerprint)
        exact = exactness(checkpoint, job, fingerprint)
        if exact.last_word is not None and rank() == 0:
            log.warning("%s", exact.last_word)
        precision = effective_precision(job)
        arguments = training_arguments(job, precision, store.staging)
        model = self.model = self._fresh_model(job)
        data = cast(TokenizedDataset, self.train_dataset)
        order = data_order(job, data)
        reporter = self._reporter
        follower = RunCallback(
            job=job,
            order=order,
            progress=Progress(job=job, data=data, order=order, utilisation=None, likelihood=True),
            guard=guard(job, data, order, precision),
            watch=watch(spec.training, order),
            saves=Saves(job, store, reporter, tracking, None, fingerprint, exact.reasons),
            reporter=reporter,
            tracking=tracking,
            stop=stop,
            evaluates=self.val_dataset is not None,
        )
        trainer = FineTuneTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            callbacks=[follower, MetricsFollower(self.metrics_tracker)],
            order=order,
            evaluation=cast(TokenizedDataset | None, self.val_dataset),
            eval_micro_batch=spec.training.sequences_per_pass,
            pad_id=0,
            micro_losses=follower.guard.micro_losses,
        )
        with follower.saves as saves:
            follower.follow(trainer, checkpoint)
            saves.finish()
        return results.success(f"trained {trainer.state.global_step} steps", reporter)

    def _prepare(self, job: ResolvedJob, store: CheckpointStore) -> Checkpoint | None:
        """Makes the directory ready; the checkpoint to go on from."""
        directory = Path(job.paths.run_directory)
        checkpoint = None
        if self.config.resume_from_checkpoint:
            checkpoint = self._newest(job, store)
            if checkpoint is None:
                log.warning("No checkpoint found to resume from in %s: training starts afresh", directory)
        elif aside := store.set_aside(datetime.now(UTC)):
            MetricsFile(directory).set_aside(aside)
            log.info("resume_from_checkpoint is False: earlier checkpoints are now in %s", aside)
        store.prepare()
        # not before: the settings of a run that is refused here are not those of the run that is there
        self.config.to_yaml(directory / CONFIG_FILE)
        return checkpoint

    def _newest(self, job: ResolvedJob, store: CheckpointStore) -> Checkpoint | None:
        try:
            return store.newest_whole(lineage_hash(job.spec))
        except InvalidConfigError as error:
            raise InvalidTrainingConfigError(
                f"checkpoint_dir: {self.config.checkpoint_dir} holds checkpoints of another run, of another "
                "model, batch, rate or schedule. Name another directory, or set them aside with "
                "resume_from_checkpoint=False"
            ) from error

    def _fresh_model(self, job: ResolvedJob) -> torch.nn.Module:
        """The same on every rank, also where each has drawn other random numbers before."""
        architecture = job.spec.model.config
        if architecture is None:
            raise AssertionError("the model of a TrainingConfig is one from scratch")
        base = Path(job.paths.run_directory) / f"base-{lineage_hash(job.spec)[:12]}"
        with exclusive(base.with_name(f"{base.name}.lock")) as alone:
            if not base.exists():
                tokenizer = cast(Tokenizer, NoTokenizer(self.config.model_config.vocab_size))
                with staged_as(base, alone=alone) as staged:
                    create_base(architecture, tokenizer, staged, job.spec.training.seed)
        return cast(torch.nn.Module, load_base(job.spec.model, str(base), torch.float32))

    def _tokens(self, dataset: Any, name: str) -> TokenDataset:
        model = self.config.model_config
        return TokenDataset(
            dataset, vocab_size=model.vocab_size, max_length=model.max_position_embeddings, name=name
        )


class MetricsFollower(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Tells a `MetricsTracker` of every step."""

    def __init__(self, tracker: MetricsTracker) -> None:
        self.tracker = tracker

    def on_log(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Called once per step, and after each evaluation, which has no `loss`."""
        if logs is None or "loss" not in logs:
            return
        told = {
            "loss": logs["loss"],
            "perplexity": compute_perplexity(logs["loss"]),
            "lr": logs["learning_rate"],
        }
        gradient = logs.get("grad_norm")
        if gradient is not None and is_a_norm(gradient):
            told["grad_norm"] = gradient
        self.tracker.update(told)


@contextmanager
def _process_group(job: ResolvedJob) -> Iterator[None]:
    """A process group, unless the program has one of its own already."""
    if dist.is_initialized():
        yield
        return
    take_device(job)
    start_process_group(job)
    try:
        yield
    finally:
        end_process_group()


@contextmanager
def _signals_to(stop: StopRequest) -> Iterator[None]:
    """SIGTERM and SIGINT end the run at a step boundary; afterwards they do what they did before. Only the
    main thread may decide about signals: a trainer in another one leaves them alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop.listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
