"""One rank from start to end: what happens in a run, in the order in which it happens."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_api.result import TrainingResult
from finetune_api.validation import validate_job
from finetune_trainer import results
from finetune_trainer.assembly import guard, load_model, make_trainer, progress, sample_answers
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore, checkpoints_status
from finetune_trainer.checkpoints.universal import carry_over
from finetune_trainer.data.cache import remove_unused
from finetune_trainer.data.fingerprint import fingerprint
from finetune_trainer.data.order import data_order
from finetune_trainer.data.preparation import CACHE
from finetune_trainer.data.sampling import total_steps
from finetune_trainer.decisions import decisions
from finetune_trainer.distributed import end_process_group, on_first_rank, rank, start_process_group
from finetune_trainer.effective import effective
from finetune_trainer.engines import engine_for
from finetune_trainer.errors import InvalidConfigError, TrainerError, classify
from finetune_trainer.finishing import Finishing
from finetune_trainer.hub.saves import hub_saves
from finetune_trainer.inputs import prepare_inputs
from finetune_trainer.interruption import StopRequest
from finetune_trainer.methods import prepare_method
from finetune_trainer.metrics import MetricsFile
from finetune_trainer.model.models import trained_parameters
from finetune_trainer.model.precision import effective_precision, take_device
from finetune_trainer.output.export import export, remove_unfinished, take_best
from finetune_trainer.output.merge import Base, check_mergeable, merged_precision
from finetune_trainer.reporting import Reporter, sinks
from finetune_trainer.space import Room
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.training.arguments import training_arguments
from finetune_trainer.training.callbacks import RunCallback
from finetune_trainer.training.exactness import exactness
from finetune_trainer.training.saves import Saves
from finetune_trainer.training.watch import watch

log = logging.getLogger(__name__)


def run(job: ResolvedJob) -> int:
    """Trains as one rank, leaves a result (rank 0, and any rank that fails), returns the exit status."""
    first = rank() == 0
    reporter = Reporter(sinks() if first else [])
    tracking = Tracking(reporter)
    stop = StopRequest()
    stop.listen()
    try:
        result = engine_for(job.spec.training).train(job, reporter, stop, tracking)
    except Exception as error:
        known = classify(error, ranks=job.world_size, volume=Path(job.paths.run_directory))
        if type(known) is TrainerError or known is not error:
            log.error("%s", known, exc_info=error)
        else:
            log.error("%s: %s", known.exit_code.reason, known)
        result = results.failure(known, reporter)
    if first or result.outcome != "succeeded":
        results.write_result(result, results.termination_message_file())
    tracking.finish(result)
    reporter.update(result=result, step=result.step, urgent=True)
    reporter.close()
    return result.exit_code


def train(
    job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking | None = None
) -> TrainingResult:
    """The whole run on this rank. Raises `TrainerError` and whatever the libraries raise."""
    # transformers would report to the same server by itself
    os.environ["DISABLE_KUBEFLOW_INTEGRATION"] = "TRUE"
    tracking = tracking or Tracking(reporter)
    reporter.update(activity="starting", urgent=True)
    refuse_invalid(job)
    take_device(job)
    precision = effective_precision(job)
    spec, run_directory = job.spec, Path(job.paths.run_directory)
    store = CheckpointStore(
        run_directory, keep=spec.checkpoints.keep, greater_is_better=spec.checkpoints.greater_is_better
    )
    start_process_group(job)
    first = rank() == 0
    checkpoint = on_first_rank(lambda: find_checkpoint(job, store))
    carried = carry_over(checkpoint, job, store.staging) if checkpoint else None

    reporter.update(activity="tokenizing", resumed_step=checkpoint.step if checkpoint else None)
    stop.check()
    inputs = prepare_inputs(job)
    job = inputs.job
    order = data_order(inputs.read, inputs.data)
    said = None if spec.dataset.columns.length is None else order.lengths
    data = on_first_rank(lambda: fingerprint(inputs.data, said))
    exact = exactness(checkpoint, job, data)
    if first and exact.last_word:
        log.warning("%s", exact.last_word)
    stop.check()
    pad_id = inputs.tokenizer.pad_token_id or 0
    start = prepare_method(job, inputs.base, precision, inputs.stage.head, inputs.data, pad_id)
    # From here on, ZeRO-3 makes every new model take part in collectives: rank 0 must have made its base.
    steps = total_steps(spec.training, order.steps_per_epoch)
    arguments = training_arguments(job, precision, store.staging, steps)

    reporter.update(activity="loading", urgent=True)
    base = Base.of(spec.model, inputs.base)
    check_mergeable(spec.output, base)
    loaded = load_model(inputs, start, precision, arguments.device)
    if first:
        remove_unused(run_directory / CACHE)
    trained, weights = trained_parameters(loaded.model)
    room = Room.of(
        job,
        trained=trained,
        weights=weights,
        width=loaded.width,
        weight_bytes=loaded.weight_bytes,
        precision=precision,
        merged=merged_precision(spec.output.precision, base) if spec.output.merge_adapter else precision,
        present=len(store.all()),
        start=checkpoint.step if checkpoint else 0,
        steps_per_epoch=order.steps_per_epoch,
        evaluates=inputs.evaluation is not None,
    )
    room.check(run_directory, Path(job.paths.output_directory))
    hub = hub_saves(job, store, start, reporter) if first else None
    follower = RunCallback(
        job=job,
        order=order,
        progress=progress(inputs, loaded, order, arguments, precision),
        guard=guard(job, loaded.data, order, precision),
        watch=watch(spec.training, order),
        saves=Saves(job, store, reporter, tracking, hub, data, exact.reasons),
        reporter=reporter,
        tracking=tracking,
        stop=stop,
        evaluates=inputs.evaluation is not None,
    )
    generations = sample_answers(inputs, follower)
    trainer = make_trainer(inputs, loaded, arguments, precision, follower, generations)
    facts = effective(job, precision, loaded.data, loaded.model, loaded.attention)
    resumed_step = checkpoint.step if checkpoint else None
    facts |= decisions(job, precision, base, resumed_step)
    reporter.update(effective=facts | exact.effective(resumed_step))
    stop.check()
    trainer.universal = carried
    with follower.saves as saves:
        follower.follow(trainer, checkpoint)

        reporter.update(activity="exporting", urgent=True)
        torn: str | None = None
        if spec.output.checkpoint == "best":
            saves.finish()
            torn = take_best(trainer, store, job)
            reporter.update(checkpoints=checkpoints_status(store))
        if generations is not None:
            generations.draw(trainer.model, trainer.state.global_step, arguments)
        output = export(trainer, job, start, precision)
        # the last commit went on beside all this
        saves.finish()
    reporter.update(output=output)
    end_process_group()
    finishing = Finishing(
        job=job,
        train=inputs.read.spec.dataset.train,
        base=base,
        precision=precision,
        step=trainer.state.global_step,
        reporter=reporter,
        stop=stop,
        generations=generations,
        output=output,
    )
    if hub is not None:
        hub.close(finish=True)
    if first:
        finishing.run()
    trained_for = f"trained {trainer.state.global_step} steps"
    if follower.improvement.exhausted:
        trained_for += " and stopped early, since evaluation no longer improved"
    if torn is not None:
        trained_for += f"; {torn}"
    if follower.watch is not None and (word := follower.watch.last_word):
        trained_for += f"; {word}"
    if exact.last_word is not None:
        trained_for += f"; {exact.last_word}"
    return results.success(f"{trained_for}; the {output.kind} was loaded and run once", reporter)


def refuse_invalid(job: ResolvedJob) -> None:
    """Raises `InvalidConfigError` with every error that the validator finds: nothing in the spec is
    ignored."""
    meta = ObjectMeta(name=job.job.name, namespace=job.job.namespace)
    findings = validate_job(FineTuneJob(metadata=meta, spec=job.spec), target="local")
    errors = [str(finding) for finding in findings if finding.severity == "error"]
    if errors:
        raise InvalidConfigError("; ".join(errors))


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
