"""Evaluation while training, and the best checkpoint."""

import pytest

from finetune_api import parse_job, validate_job

HELD_OUT = {"dataset.evalSplit": 0.1}
BEST = {"output.checkpoint": "best"} | HELD_OUT


def test_early_stopping_needs_an_evaluation_while_training(brief):
    stop = {"training.earlyStopping": {}}
    refused = [("error", "Requires", "training.earlyStopping")]
    assert brief(stop) == refused
    assert brief(stop | {"dataset.evalSplit": 0.1}) == []
    assert brief(stop | {"dataset.evalSplit": 0.1, "evaluation.everySteps": 0}) == refused
    assert brief(stop | {"dataset.evalSplit": 0.1, "evaluation": {"everySteps": 0, "atEpochEnd": True}}) == []


def test_a_plateau_needs_an_evaluation_while_training(brief):
    plateau = {"training.schedule.type": "reduceOnPlateau"}
    assert brief(plateau) == [("error", "Requires", "training.schedule.type")]
    assert brief(plateau | HELD_OUT) == []


def test_the_best_checkpoint_needs_an_evaluation_while_training(brief):
    assert brief({"output.checkpoint": "best"}) == [("error", "Requires", "output.checkpoint")]
    assert brief({"output.checkpoint": "best", "dataset.evalSplit": 0.1}) == []


@pytest.mark.parametrize(
    ("changes", "suggested"),
    [
        ({}, True),
        (HELD_OUT, False),
        ({"training.epochs": 1}, False),
        ({"training.epochs": 1.5}, True),
        ({"training.maxSteps": 10}, False),
        ({"resources.command": ["python", "/scripts/train.py"]}, False),
    ],
)
def test_something_is_held_out_when_records_are_repeated(make_manifest, changes, suggested):
    found = [
        finding
        for finding in validate_job(parse_job(make_manifest(changes)))
        if finding.code == "NoEvaluation"
    ]
    assert [(finding.severity, finding.path) for finding in found] == [
        ("suggestion", "dataset.evalSplit")
    ] * suggested


def test_metrics_need_evaluation_data(brief):
    changes = {"evaluation.metrics": ["perplexity"]}
    assert brief(changes) == [("error", "Requires", "evaluation.metrics")]
    assert brief(changes | HELD_OUT) == []


@pytest.mark.parametrize(
    "chooser",
    [
        BEST,
        {"training.earlyStopping": {}} | HELD_OUT,
        {"training.schedule.type": "reduceOnPlateau"} | HELD_OUT,
    ],
)
def test_the_metric_that_chooses_is_measured(brief, chooser):
    wanted = {"checkpoints": {"metric": "tokenAccuracy", "greaterIsBetter": True}}
    assert brief(chooser | wanted) == [("error", "Requires", "checkpoints.metric")]
    assert brief(chooser | wanted | {"evaluation.metrics": ["tokenAccuracy"]}) == []
    assert brief(chooser | {"checkpoints.metric": "eval_loss"}) == []


@pytest.mark.parametrize(
    ("metric", "higher"), [("loss", True), ("eval_loss", True), ("tokenAccuracy", False)]
)
def test_the_best_value_is_at_the_right_end(brief, metric, higher):
    changes = {"checkpoints": {"metric": metric, "greaterIsBetter": higher}}
    assert brief(changes) == [("warning", "MetricDirection", "checkpoints.greaterIsBetter")]
    assert brief({"checkpoints": {"metric": metric, "greaterIsBetter": not higher}}) == []


@pytest.mark.parametrize(("saves", "measured"), [(300, True), (250, False), (100, True), (50, False)])
def test_the_best_checkpoint_is_measured_where_it_is_written(brief, saves, measured):
    found = brief(BEST | {"checkpoints.everySteps": saves})
    assert found == ([] if measured else [("warning", "BestBetweenCheckpoints", "checkpoints.everySteps")])
