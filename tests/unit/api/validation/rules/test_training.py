import pytest


def test_an_effective_batch_of_one_is_warned_about(brief):
    small = [("warning", "SmallEffectiveBatch", "training.gradientAccumulationSteps")]
    assert brief({"training.gradientAccumulationSteps": 1}) == small
    assert brief({"training.gradientAccumulationSteps": 1, "training.microBatchSize": 2}) == []
    assert brief({"training.gradientAccumulationSteps": 2}) == []


def test_parameter_groups_are_named_by_regular_expressions(brief):
    changes = {"training.parameterGroups": [{"pattern": "*"}]}
    assert brief(changes) == [("error", "InvalidPattern", "training.parameterGroups[0].pattern")]


def test_prefetching_needs_loader_processes(brief):
    path = "training.dataLoader.prefetchFactor"
    assert brief({path: 2}) == [("error", "Requires", path)]
    assert brief({path: 2, "training.dataLoader.workers": 1}) == []


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
