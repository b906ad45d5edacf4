import pytest


def test_an_effective_batch_of_one_is_warned_about(brief):
    small = [("warning", "SmallEffectiveBatch", "training.gradientAccumulationSteps")]
    assert brief({"training.gradientAccumulationSteps": 1}) == small
    assert brief({"training.gradientAccumulationSteps": 1, "training.microBatchSize": 2}) == []
    assert brief({"training.gradientAccumulationSteps": 2}) == []


@pytest.mark.parametrize(("steps", "fits"), [(99, True), (100, False), (101, False)])
def test_the_warm_up_ends_within_the_run(brief, steps, fits):
    found = brief({"training.maxSteps": 100, "training.schedule.warmupSteps": steps})
    assert found == ([] if fits else [("error", "Conflict", "training.schedule.warmupSteps")])


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
    "lacking",
    [
        {"method.type": "spectrum"},
        {
            "training.stage": "grpo",
            "dataset.format": "messages",
            "training.grpo": {"rewardFunctions": ["brevity"]},
        },
    ],
)
def test_llamafactory_lacks_some_methods(brief, lacking):
    assert brief(lacking) == []
    assert brief(lacking | {"training.engine": "llamafactory"}) == [("error", "Conflict", "training.engine")]
