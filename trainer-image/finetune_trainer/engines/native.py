"""transformers' training loop with the guarantees of this package: the engine of every stage. What happens in
a run, in the order in which it happens."""

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from transformers import TrainingArguments

from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_api.result import TrainingResult
from finetune_api.status import OutputStatus
from finetune_trainer import results
from finetune_trainer.assembly import LoadedModel, guard, load_model, make_trainer, progress, sample_answers
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore, checkpoints_status
from finetune_trainer.checkpoints.universal import carry_over
from finetune_trainer.data.cache import remove_unused
from finetune_trainer.data.fingerprint import Fingerprint, fingerprint
from finetune_trainer.data.order import data_order
from finetune_trainer.data.preparation import CACHE
from finetune_trainer.data.sampling import GlobalOrder, total_steps
from finetune_trainer.decisions import decisions
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.distributed import end_process_group, on_first_rank, rank, start_process_group
from finetune_trainer.effective import effective
from finetune_trainer.engines.base import refuse_invalid
from finetune_trainer.evaluation.generations import Generations
from finetune_trainer.finishing import Finishing
from finetune_trainer.hub.saves import HubSaves, hub_saves
from finetune_trainer.inputs import Inputs, prepare_inputs
from finetune_trainer.interruption import StopRequest
from finetune_trainer.methods import Start, prepare_method
from finetune_trainer.metrics import MetricsFile
from finetune_trainer.model.models import trained_parameters
from finetune_trainer.model.precision import effective_precision, take_device
from finetune_trainer.output.export import Chosen, export, remove_unfinished, take_best
from finetune_trainer.output.merge import Base, check_mergeable, merged_precision
from finetune_trainer.reporting import Reporter
from finetune_trainer.space import Room
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.training.arguments import training_arguments
from finetune_trainer.training.callbacks import RunCallback
from finetune_trainer.training.exactness import Exactness, exactness
from finetune_trainer.training.saves import Saves
from finetune_trainer.training.trainer import FineTuneTrainer
from finetune_trainer.training.watch import watch

log = logging.getLogger(__name__)


class Native:
    """`training.engine: transformers`."""

    def train(
        self, job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking
    ) -> TrainingResult:
        """See `train` below."""
        return train(job, reporter, stop, tracking)


@dataclass(frozen=True)
class Beginning:
    """What is known before any data is read."""

    precision: Precision
    store: CheckpointStore
    checkpoint: Checkpoint | None
    """The one to go on from."""
    carried: Path | None
    """What it holds in the layout of this attempt, where it was written in another one."""

    @property
    def step(self) -> int | None:
        """The step that the attempt goes on from; None from the start."""
        return self.checkpoint.step if self.checkpoint else None


@dataclass(frozen=True)
class Prepared:
    """What the run learns from, and where its model starts: all that is done before the ranks load it."""

    beginning: Beginning
    inputs: Inputs
    order: GlobalOrder
    data: Fingerprint | None
    """Of what is trained on; only rank 0 needs it."""
    exact: Exactness
    start: Start
    base: Base
    arguments: TrainingArguments


@dataclass(frozen=True)
class Ready:
    """The trainer before its first step, with what follows it."""

    trainer: FineTuneTrainer
    follower: RunCallback
    generations: Generations | None
    hub: HubSaves | None
    """Only rank 0 pushes."""


def train(
    job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking | None = None
) -> TrainingResult:
    """The whole run on this rank. Raises `TrainerError` and whatever the libraries raise."""
    # transformers would report to the same server by itself
    os.environ["DISABLE_KUBEFLOW_INTEGRATION"] = "TRUE"
    tracking = tracking or Tracking(reporter)
    beginning = begin(job, reporter)
    prepared = prepare(job, beginning, reporter, stop)
    ready = make_ready(prepared, load(prepared, reporter), reporter, stop, tracking)
    chosen, output = learn(prepared, ready, reporter)
    end_process_group()
    finish(prepared, ready, chosen, output, reporter, stop)
    return results.success(last_words(prepared.exact, ready, chosen, output), reporter)


def begin(job: ResolvedJob, reporter: Reporter) -> Beginning:
    """Takes the device, joins the other ranks, and finds the checkpoint to go on from."""
    reporter.update(activity="starting", urgent=True)
    refuse_invalid(job)
    take_device(job)
    precision = effective_precision(job)
    checkpoints = job.spec.checkpoints
    store = CheckpointStore(
        Path(job.paths.run_directory), keep=checkpoints.keep, greater_is_better=checkpoints.greater_is_better
    )
    start_process_group(job)
    checkpoint = on_first_rank(lambda: find_checkpoint(job, store))
    carried = carry_over(checkpoint, job, store.staging) if checkpoint else None
    return Beginning(precision, store, checkpoint, carried)


def find_checkpoint(job: ResolvedJob, store: CheckpointStore) -> Checkpoint | None:
    """The checkpoint to go on from, after making the directories ready. Raises `InvalidConfigError`,
    `StorageError`."""
    if job.spec.checkpoints.resume == "never" and job.attempt == 1:
        aside = store.set_aside(datetime.now(UTC))
        if aside is not None:
            MetricsFile(Path(job.paths.run_directory)).set_aside(aside)
            log.info("checkpoints.resume is never: earlier checkpoints are now in %s", aside.name)
    checkpoint = store.newest_whole(lineage_hash(job.spec))
    store.prepare()
    remove_unfinished(Path(job.paths.output_directory))
    return checkpoint


def prepare(job: ResolvedJob, beginning: Beginning, reporter: Reporter, stop: StopRequest) -> Prepared:
    """Reads and tokenises the data, and makes what the method starts from."""
    reporter.update(activity="tokenizing", resumed_step=beginning.step)
    stop.check()
    inputs = prepare_inputs(job)
    job = inputs.job
    order = data_order(inputs.read, inputs.data)
    said = None if job.spec.dataset.columns.length is None else order.lengths
    data = on_first_rank(lambda: fingerprint(inputs.data, said))
    exact = exactness(beginning.checkpoint, job, data)
    if rank() == 0 and exact.last_word:
        log.warning("%s", exact.last_word)
    stop.check()
    pad_id = inputs.tokenizer.pad_token_id or 0
    start = prepare_method(job, inputs.base, beginning.precision, inputs.stage.head, inputs.data, pad_id)
    # From here on, ZeRO-3 makes every new model take part in collectives: rank 0 must have made its base.
    steps = total_steps(job.spec.training, order.steps_per_epoch)
    arguments = training_arguments(job, beginning.precision, beginning.store.staging, steps)
    base = Base.of(job.spec.model, inputs.base)
    return Prepared(beginning, inputs, order, data, exact, start, base, arguments)


def load(prepared: Prepared, reporter: Reporter) -> LoadedModel:
    """Loads the model, and makes sure that the volumes have room for what will be written of it."""
    reporter.update(activity="loading", urgent=True)
    beginning, inputs, job = prepared.beginning, prepared.inputs, prepared.inputs.job
    precision = beginning.precision
    check_mergeable(job.spec.output, prepared.base)
    loaded = load_model(inputs, prepared.start, precision, prepared.arguments.device)
    run_directory, output = Path(job.paths.run_directory), job.spec.output
    if rank() == 0:
        remove_unused(run_directory / CACHE)
    trained, weights = trained_parameters(loaded.model)
    room = Room.of(
        job,
        trained=trained,
        weights=weights,
        width=loaded.width,
        weight_bytes=loaded.weight_bytes,
        precision=precision,
        merged=merged_precision(output.precision, prepared.base) if output.merge_adapter else precision,
        present=len(beginning.store.all()),
        start=beginning.step or 0,
        steps_per_epoch=prepared.order.steps_per_epoch,
        evaluates=inputs.evaluation is not None,
    )
    room.check(run_directory, Path(job.paths.output_directory))
    return loaded


def make_ready(
    prepared: Prepared, loaded: LoadedModel, reporter: Reporter, stop: StopRequest, tracking: Tracking
) -> Ready:
    """Puts the trainer together with what follows its steps, and tells what will really run."""
    beginning, inputs, order = prepared.beginning, prepared.inputs, prepared.order
    job, exact, precision, store = inputs.job, prepared.exact, beginning.precision, beginning.store
    hub = hub_saves(job, store, prepared.start, reporter) if rank() == 0 else None
    follower = RunCallback(
        job=job,
        order=order,
        progress=progress(inputs, loaded, order, prepared.arguments, precision),
        guard=guard(job, loaded.data, order, precision),
        watch=watch(job.spec.training, order),
        saves=Saves(job, store, reporter, tracking, hub, prepared.data, exact.reasons),
        reporter=reporter,
        tracking=tracking,
        stop=stop,
        evaluates=inputs.evaluation is not None,
    )
    generations = sample_answers(inputs, follower)
    trainer = make_trainer(inputs, loaded, prepared.arguments, precision, follower, generations)
    trainer.universal = beginning.carried
    facts = effective(job, precision, loaded.data, loaded.model, loaded.attention)
    facts |= decisions(job, precision, prepared.base, beginning.step)
    reporter.update(effective=facts | exact.effective(beginning.step))
    stop.check()
    return Ready(trainer, follower, generations, hub)


def learn(prepared: Prepared, ready: Ready, reporter: Reporter) -> tuple[Chosen, OutputStatus]:
    """Trains to the end, and writes the adapter or the model, while the last checkpoint is committed."""
    beginning, job, trainer = prepared.beginning, prepared.inputs.job, ready.trainer
    with ready.follower.saves as saves:
        ready.follower.follow(trainer, beginning.checkpoint)

        reporter.update(activity="exporting", urgent=True)
        chosen = Chosen(trainer.state.global_step)
        if job.spec.output.checkpoint == "best":
            saves.finish()
            chosen = take_best(trainer, beginning.store, job)
            reporter.update(checkpoints=checkpoints_status(beginning.store))
        if ready.generations is not None:
            ready.generations.draw(trainer.model, trainer.state.global_step, prepared.arguments)
        output = export(trainer, job, prepared.start, beginning.precision, chosen)
        # the last commit went on beside all this
        saves.finish()
    reporter.update(output=output)
    return chosen, output


def finish(
    prepared: Prepared,
    ready: Ready,
    chosen: Chosen,
    output: OutputStatus,
    reporter: Reporter,
    stop: StopRequest,
) -> None:
    """Does on rank 0 what follows training; the other ranks are done."""
    if ready.hub is not None:
        ready.hub.close(finish=True)
    if rank() != 0:
        return
    inputs = prepared.inputs
    finishing = Finishing(
        job=inputs.job,
        train=inputs.read.spec.dataset.train,
        base=prepared.base,
        precision=prepared.beginning.precision,
        steps=ready.trainer.state.global_step,
        chosen=chosen,
        reporter=reporter,
        stop=stop,
        generations=ready.generations,
        output=output,
    )
    finishing.run()


def last_words(exact: Exactness, ready: Ready, chosen: Chosen, output: OutputStatus) -> str:
    """What a run that succeeded has done, and what is to be known of it."""
    follower, steps = ready.follower, ready.trainer.state.global_step
    words = f"trained {steps} steps"
    if follower.improvement.exhausted:
        words += " and stopped early, since evaluation no longer improved"
    known = (chosen.torn, follower.watch.last_word if follower.watch else None, exact.last_word)
    told = "".join(f"; {word}" for word in known if word)
    which = "" if chosen.step == steps else f" of step {chosen.step}, the best,"
    return f"{words}{told}; the {output.kind}{which} was loaded and run once"
