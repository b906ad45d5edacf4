"""Rules about evaluation while training: early stopping, the best checkpoint, and its metric."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, suggestion, warning

_DATA: Final = "Set dataset.eval or dataset.evalSplit, and evaluation.everySteps"
_HIGHER_IS_BETTER: Final = {
    "loss": False,
    "eval_loss": False,
    "perplexity": False,
    "eval_perplexity": False,
    "tokenAccuracy": True,
    "eval_tokenAccuracy": True,
}


def selection(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """An evaluation where something depends on it, and a metric that is measured."""
    spec = job.spec
    evaluates = spec.dataset.eval is not None or spec.dataset.eval_split > 0
    in_loop = evaluates and (spec.evaluation.every_steps > 0 or spec.evaluation.at_epoch_end)
    if not in_loop:
        yield from _depends_on_evaluation(job)
    if not evaluates:
        yield from _without_data(job)
    yield from _metric(job)
    yield from _best_between_checkpoints(job)


def _depends_on_evaluation(job: FineTuneJob) -> Iterator[Finding]:
    if job.spec.training.early_stopping is not None:
        yield error(
            Code.REQUIRES,
            "training.earlyStopping",
            "needs an evaluation while training, and there is none",
            _DATA,
        )
    if job.spec.training.schedule.type == "reduceOnPlateau":
        yield error(
            Code.REQUIRES,
            "training.schedule.type",
            "lowers the rate when evaluation no longer improves, and there is none while training",
            f"{_DATA}; or use schedule.type cosine",
            "reduceOnPlateau",
        )
    if job.spec.output.checkpoint == "best":
        yield error(
            Code.REQUIRES,
            "output.checkpoint",
            "the best checkpoint is known from evaluation while training, and there is none",
            f"{_DATA}; or use output.checkpoint last",
            "best",
        )


def _without_data(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    if spec.evaluation.metrics:
        yield error(
            Code.REQUIRES,
            "evaluation.metrics",
            "are measured on evaluation data, and there is none",
            "Set dataset.eval or dataset.evalSplit, or remove evaluation.metrics",
            [*spec.evaluation.metrics],
        )
    if spec.training.max_steps is None and spec.training.epochs > 1 and spec.resources.command is None:
        yield suggestion(
            Code.NO_EVALUATION,
            "dataset.evalSplit",
            "nothing is held out, so nobody sees when the model begins to learn the records by heart",
            "Set dataset.evalSplit, such as 0.05, or dataset.eval",
            spec.dataset.eval_split,
        )


def _metric(job: FineTuneJob) -> Iterator[Finding]:
    spec, metric = job.spec, job.spec.checkpoints.metric
    follows = spec.training.early_stopping is not None or spec.training.schedule.type == "reduceOnPlateau"
    chooses = spec.output.checkpoint == "best" or follows
    measured = {"loss", *spec.evaluation.metrics}
    if chooses and spec.checkpoints.measured_metric not in measured:
        yield error(
            Code.REQUIRES,
            "checkpoints.metric",
            "tells which checkpoint is better, and is not among the metrics that are measured: "
            f"{', '.join(sorted(measured))}",
            "Name it in evaluation.metrics, or use checkpoints.metric loss",
            metric,
        )
    higher = _HIGHER_IS_BETTER.get(metric)
    if higher is not None and higher != spec.checkpoints.greater_is_better:
        yield warning(
            Code.METRIC_DIRECTION,
            "checkpoints.greaterIsBetter",
            f"would take the worst value of {metric} for the best",
            f"Set checkpoints.greaterIsBetter to {str(higher).lower()}",
            spec.checkpoints.greater_is_better,
        )


def _best_between_checkpoints(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    saves, evaluates = spec.checkpoints.every_steps, spec.evaluation.every_steps
    if spec.output.checkpoint == "best" and saves and evaluates and saves % evaluates:
        yield warning(
            Code.BEST_BETWEEN_CHECKPOINTS,
            "checkpoints.everySteps",
            f"is no multiple of evaluation.everySteps {evaluates}, so that checkpoints are not measured as "
            "they are written",
            "Make it a multiple, so that the best evaluation has a checkpoint",
            saves,
        )
