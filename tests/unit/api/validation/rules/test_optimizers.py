import pytest

OPTIMIZER = "training.optimizer"
STEPS = "training.gradientAccumulationSteps"
ONE_PASS = {STEPS: 1, "training.microBatchSize": 4}
FULL = {"method.type": "full", "training.learningRate": 1e-5}


@pytest.mark.parametrize("optimizer", ["lomo", "adalomo"])
def test_what_updates_in_the_backward_pass_accumulates_nothing(brief, optimizer):
    chosen = {OPTIMIZER: optimizer}
    assert brief(chosen | {STEPS: 2}) == [("error", "OptimizerConflict", STEPS)]
    assert brief(chosen | ONE_PASS) == []


@pytest.mark.parametrize("optimizer", ["lomo", "adalomo"])
def test_what_updates_in_the_backward_pass_does_not_run_under_deepspeed(brief, optimizer):
    chosen = {OPTIMIZER: optimizer} | ONE_PASS
    assert brief(chosen | {"distributed.zeroStage": 1}) == [("error", "OptimizerConflict", OPTIMIZER)]
    assert brief(chosen | {"distributed.processesPerNode": 2, "distributed.engine": "torch"}) == []


@pytest.mark.parametrize("optimizer", ["galoreAdamw", "galoreAdafactor", "apolloAdamw"])
def test_what_projects_gradients_needs_whole_matrices(brief, optimizer):
    chosen = {OPTIMIZER: optimizer} | FULL
    assert brief(chosen) == []
    assert brief(chosen | {"distributed.zeroStage": 2}) == [("error", "OptimizerConflict", OPTIMIZER)]
    assert brief({OPTIMIZER: optimizer}) == [("error", "OptimizerConflict", OPTIMIZER)]


WHOLE_MATRICES = {OPTIMIZER: "stableAdamw"}
FACTORED = {OPTIMIZER: "adafactor"}
AVERAGING = {OPTIMIZER: "scheduleFreeAdamw", "training.schedule.type": "constant"}


@pytest.mark.parametrize("chosen", [WHOLE_MATRICES, FACTORED, AVERAGING])
def test_what_deepspeed_would_break_runs_without_it(brief, chosen):
    assert brief(chosen) == []
    refused = [("error", "OptimizerConflict", OPTIMIZER)]
    assert brief(chosen | {"distributed.zeroStage": 2}) == refused
    assert brief(chosen | {"distributed.processesPerNode": 2}) == refused
    assert brief(chosen | {"distributed.processesPerNode": 2, "distributed.engine": "torch"}) == []


@pytest.mark.parametrize("optimizer", ["scheduleFreeAdamw", "scheduleFreeRadam"])
def test_an_average_has_a_weight(brief, optimizer):
    found = brief(AVERAGING | {OPTIMIZER: optimizer, "training.adamBeta1": 0.0})
    assert found == [("error", "OptimizerConflict", "training.adamBeta1")]


def test_other_optimizers_go_with_everything(brief):
    assert brief({OPTIMIZER: "lion", STEPS: 8, "distributed.zeroStage": 2}) == []
