import pytest


def test_an_effective_batch_of_one_is_warned_about(brief):
    small = [("warning", "SmallEffectiveBatch", "training.gradientAccumulationSteps")]
    assert brief({"training.gradientAccumulationSteps": 1}) == small
    assert brief({"training.gradientAccumulationSteps": 1, "training.microBatchSize": 2}) == []
    assert brief({"training.gradientAccumulationSteps": 2}) == []


def test_a_learning_rate_over_1e_3_is_warned_about_and_1e_3_itself_is_not(brief):
    assert brief({"training.learningRate": 1.0001e-3}) == [
        ("warning", "HighLearningRate", "training.learningRate")
    ]
    assert brief({"training.learningRate": 1e-3}) == []


@pytest.mark.parametrize(("steps", "fits"), [(99, True), (100, False), (101, False)])
def test_the_warm_up_ends_within_the_run(brief, steps, fits):
    found = brief({"training.maxSteps": 100, "training.schedule.warmupSteps": steps})
    assert found == ([] if fits else [("error", "Conflict", "training.schedule.warmupSteps")])


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_some_precisions_need_an_accelerator(brief, precision):
    changes = {"training.precision": precision}
    assert brief(changes) == [("error", "PrecisionDeviceMismatch", "training.precision")]
    assert brief(changes | {"resources.accelerators.perNode": 1}) == []


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_other_precisions_run_on_the_cpu(brief, precision):
    assert brief({"training.precision": precision}) == []


def test_early_stopping_needs_an_evaluation_while_training(brief):
    stop = {"training.earlyStopping": {}}
    refused = [("error", "Requires", "training.earlyStopping")]
    assert brief(stop) == refused
    assert brief(stop | {"dataset.evalSplit": 0.1}) == []
    assert brief(stop | {"dataset.evalSplit": 0.1, "evaluation.everySteps": 0}) == refused
    assert brief(stop | {"dataset.evalSplit": 0.1, "evaluation": {"everySteps": 0, "atEpochEnd": True}}) == []


def test_the_best_checkpoint_needs_an_evaluation_while_training(brief):
    assert brief({"output.checkpoint": "best"}) == [("error", "Requires", "output.checkpoint")]
    assert brief({"output.checkpoint": "best", "dataset.evalSplit": 0.1}) == []


def test_parameter_groups_are_named_by_regular_expressions(brief):
    changes = {"training.parameterGroups": [{"pattern": "*"}]}
    assert brief(changes) == [("error", "InvalidPattern", "training.parameterGroups[0].pattern")]


def test_prefetching_needs_loader_processes(brief):
    path = "training.dataLoader.prefetchFactor"
    assert brief({path: 2}) == [("error", "Requires", path)]
    assert brief({path: 2, "training.dataLoader.workers": 1}) == []


def test_a_stable_ratio_belongs_to_its_schedule(brief):
    path = "training.schedule.stableRatio"
    assert brief({path: 0.8}) == [("error", "Conflict", path)]
    assert brief({path: 0.8, "training.schedule.type": "warmupStableDecay"}) == []


def test_a_lowest_rate_belongs_to_the_cosine_schedule(brief):
    path = "training.schedule.minLearningRateRatio"
    assert brief({path: 0.1, "training.schedule.type": "linear"}) == [("error", "Conflict", path)]
    assert brief({path: 0.1}) == []


@pytest.mark.parametrize(
    ("section", "stage", "form"),
    [
        ("dpo", "dpo", "preference"),
        ("kto", "kto", "messages"),
        ("ppo", "ppo", "messages"),
        ("grpo", "grpo", "messages"),
        ("rewardModel", "rm", "preference"),
    ],
)
def test_settings_of_another_stage_are_refused_rather_than_ignored(brief, section, stage, form):
    path = f"training.{section}"
    assert brief({path: {}}) == [("error", "Conflict", path)]
    assert brief({path: {}, "training.stage": stage, "dataset.format": form}) == []
