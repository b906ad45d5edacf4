"""One rank from start to end: what happens in a run, in the order in which it happens."""

import logging
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from transformers import set_seed

from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob
from finetune_api.result import ExitCode, TrainingResult
from finetune_api.validation import validate_job
from finetune_trainer import results
from finetune_trainer.arguments import training_arguments
from finetune_trainer.bases import prepare_base
from finetune_trainer.by_document import attend_by_document
from finetune_trainer.callbacks import RunCallback
from finetune_trainer.checkpoints import Checkpoint, CheckpointStore, checkpoints_status
from finetune_trainer.data.download import fetch_sources
from finetune_trainer.data.lengths import lengths_to_group_by
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.packed import PackedDataset, check_isolation
from finetune_trainer.data.prompts import repeated
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.distributed import (
    end_process_group,
    from_first_rank,
    rank,
    start_process_group,
)
from finetune_trainer.effective import effective
from finetune_trainer.engines import engine_for
from finetune_trainer.errors import (
    InterruptedRunError,
    InvalidConfigError,
    TrainerError,
    classify,
)
from finetune_trainer.evaluation.generations import Generations
from finetune_trainer.export import export, remove_unfinished, take_best
from finetune_trainer.finishing import Finishing
from finetune_trainer.fused_loss import fuse_loss, needs_no_logits
from finetune_trainer.guards import Guard, Trend
from finetune_trainer.hub_saves import hub_saves
from finetune_trainer.improvement import Improvement
from finetune_trainer.interruption import StopRequest
from finetune_trainer.kernels import upcast_norms
from finetune_trainer.merge import Base, check_mergeable, merged_precision
from finetune_trainer.methods import apply_method, prepare_method
from finetune_trainer.models import (
    check_fit,
    load_base,
    load_dtype,
    trained_parameters,
)
from finetune_trainer.optimizers import grouped_optimizer
from finetune_trainer.precision import check_device, effective_precision
from finetune_trainer.quantization import quantization_config
from finetune_trainer.reporting import Reporter, sinks
from finetune_trainer.space import Room
from finetune_trainer.stages import stage_for
from finetune_trainer.stages.base import Setting
from finetune_trainer.tracking.fanout import Tracking
from finetune_trainer.trainer import FineTuneTrainer
from finetune_trainer.universal import approximation, carry_over
from finetune_trainer.utilisation import utilisation

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
    spec = job.spec
    reporter.update(activity="starting", urgent=True)
    refuse_invalid(job)
    check_device(job)
    precision = effective_precision(job)
    run_directory = Path(job.paths.run_directory)
    store = CheckpointStore(
        run_directory, keep=spec.checkpoints.keep, greater_is_better=spec.checkpoints.greater_is_better
    )
    start_process_group(job)
    first = rank() == 0
    checkpoint = from_first_rank(find_checkpoint(job, store) if first else None)
    carried = carry_over(checkpoint, job, store.staging) if checkpoint else None

    reporter.update(activity="tokenizing", resumed_step=checkpoint.step if checkpoint else None)
    stop.check()
    job = fetch_sources(job)
    # read only where the tokens, or the tokenizer, are not there from an earlier rank or attempt
    examples = cache(lambda: load_examples(spec.dataset, spec.dataset.train, job.paths.train))
    tokenizer, base = prepare_base(job, examples)
    stage = stage_for(spec.training)
    data, evaluation = stage.prepare(job, examples, tokenizer)
    stop.check()
    start = prepare_method(job, base, precision, stage.head)
    # From here on, ZeRO-3 makes every new model take part in collectives: rank 0 must have made its base.
    arguments = training_arguments(job, precision, store.staging, len(data))

    reporter.update(activity="loading", urgent=True)
    check_mergeable(spec.output, Base.of(spec.model, base))
    quantization = quantization_config(spec, precision, start.base)
    # a head that the base does not have starts at random: alike on every rank and in every attempt
    set_seed(spec.training.seed)
    model = load_base(spec.model, start.base, load_dtype(spec, precision), quantization, stage.head)
    check_fit(model, tokenizer, spec.training.max_sequence_length)
    by_document = stage.objective is None and attend_by_document(model, spec.training.max_sequence_length)
    if isinstance(data, PackedDataset) and not by_document:
        data = data.laid_out_for(model.config._attn_implementation)
        check_isolation(model, data)
    if spec.model.upcast_layer_norm:
        upcast_norms(model)
    adapted = apply_method(model, spec.method, spec.training.seed, start)
    if precision == "fp32" and stage.objective is None and needs_no_logits(spec):
        fuse_loss(adapted)
    order = GlobalOrder(
        size=len(data),
        global_batch=job.effective_batch_size,
        seed=spec.training.seed if spec.training.data_seed is None else spec.training.data_seed,
        shuffle=spec.training.sampling != "sequential",
        lengths=lengths_to_group_by(job, data),
    )
    order = repeated(order, spec.training)
    trained, weights = trained_parameters(adapted)
    room = Room.of(
        job,
        trained=trained,
        weights=weights,
        precision=precision,
        merged=merged_precision(spec.output.precision, Base.of(spec.model, base)),
        present=len(store.all()),
        start=checkpoint.step if checkpoint else 0,
        steps_per_epoch=order.steps_per_epoch,
        evaluates=evaluation is not None,
    )
    room.check(run_directory, Path(job.paths.output_directory))
    divergence = spec.failure_policy.divergence
    guard = Guard(
        data=data,
        order=order,
        micro_batch=spec.training.micro_batch_size,
        rank=rank(),
        ranks=job.world_size,
        scaled=precision == "fp16",
        trend=Trend(divergence) if divergence else None,
    )
    saves = hub_saves(job, store, reporter) if first else None
    follower = RunCallback(
        job=job,
        data=data,
        order=order,
        store=store,
        reporter=reporter,
        stop=stop,
        guard=guard,
        utilisation=utilisation(
            adapted,
            arguments.device,
            sixteen_bit=precision != "fp32",
            ranks=job.world_size,
            tokens_per_sequence=data.facts.tokens / data.facts.sequences,
        ),
        improvement=Improvement(spec.training.early_stopping, spec.checkpoints.greater_is_better),
        evaluates=evaluation is not None,
        likelihood=stage.objective is None,
        first=first,
        tracking=tracking or Tracking(reporter),
        hub=saves,
    )
    generations = None
    if spec.evaluation.generations is not None:
        generations = Generations(
            spec.evaluation.generations, job, tokenizer, first=first, drawn=follower.watch.restart
        )
    trainer = FineTuneTrainer(
        model=adapted,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[each for each in (follower, generations) if each is not None],
        order=order,
        evaluation=evaluation,
        evaluation_spec=spec.evaluation,
        eval_micro_batch=spec.evaluation.micro_batch_size or spec.training.micro_batch_size,
        pad_id=tokenizer.pad_token_id or 0,
        by_document=by_document,
        micro_losses=guard.micro_losses,
        optimizer_cls_and_kwargs=grouped_optimizer(adapted, arguments, spec),
    )
    if stage.objective is not None:
        setting = Setting(job, base, precision, tokenizer, adapted, trainer.accelerator)
        trainer.learn_by(stage.objective(setting))
    facts = effective(job, precision, data, adapted, model.config._attn_implementation)
    reporter.update(effective=facts | approximation(checkpoint, job))
    stop.check()

    if checkpoint is not None:
        log.info("resuming from %s", checkpoint.path.name)
        follower.resume(checkpoint.path)
        reporter.update(checkpoints=checkpoints_status(store))
        trainer.universal = carried
    with follower.commits:
        trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    if follower.interrupted:
        raise InterruptedRunError(
            f"told to end: stopped after step {trainer.state.global_step}, whose checkpoint is committed"
        )

    reporter.update(activity="exporting", urgent=True)
    if spec.output.checkpoint == "best":
        take_best(trainer, store, job)
    if generations is not None:
        generations.draw(trainer.model, trainer.state.global_step, arguments.device)
    output = export(trainer, job, start, precision)
    reporter.update(output=output)
    end_process_group()
    finishing = Finishing(
        job=job,
        base=Base.of(spec.model, base),
        precision=precision,
        step=trainer.state.global_step,
        reporter=reporter,
        stop=stop,
        generations=generations,
        output=output,
    )
    if saves is not None:
        saves.close(finish=True)
    if first:
        finishing.run()
    report = reporter.report
    early = (
        " and stopped early, since evaluation no longer improved" if follower.improvement.exhausted else ""
    )
    return TrainingResult(
        outcome="succeeded",
        reason=ExitCode.SUCCEEDED.reason,
        message=f"trained {trainer.state.global_step} steps{early}; "
        f"the {output.kind} was loaded and run once",
        exit_code=int(ExitCode.SUCCEEDED),
        step=trainer.state.global_step,
        total_steps=trainer.state.max_steps,
        resumed_step=checkpoint.step if checkpoint else None,
        metrics=reporter.metrics,
        checkpoints=report.checkpoints,
        output=finishing.output,
        hub=finishing.hub,
        evaluation=finishing.evaluation,
    )


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
            log.info("checkpoints.resume is never: earlier checkpoints are now in %s", aside.name)
    checkpoint = store.newest_whole(lineage_hash(job.spec))
    store.prepare()
    remove_unfinished(Path(job.paths.output_directory))
    return checkpoint
