import pytest

RATE = "training.learningRate"
SCHEDULE = "training.schedule"
SCRATCH = {"model": {"config": {}, "tokenizer": {"id": "gpt2"}}}


def test_a_learning_rate_over_1e_3_is_warned_about_and_1e_3_itself_is_not(brief):
    assert brief({"training.learningRate": 1.0001e-3}) == [
        ("warning", "HighLearningRate", "training.learningRate")
    ]
    assert brief({"training.learningRate": 1e-3}) == []


def test_a_rate_for_adapters_is_too_high_for_every_weight_of_a_trained_model(brief):
    full = {"method.type": "full"}
    assert brief(full | {RATE: 2e-4}) == [("suggestion", "HighFullLearningRate", RATE)]
    assert brief(full | {RATE: 1e-4}) == []
    assert brief(full | {RATE: 2e-4} | SCRATCH) == []
    assert brief(full | {RATE: 2e-4, "training.stage": "pretrain", "dataset.format": "text"}) == []
    assert brief({RATE: 2e-4}) == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("warmupRatio", {f"{SCHEDULE}.warmupRatio": 0}),
        ("warmupSteps", {f"{SCHEDULE}.warmupSteps": 0}),
        ("warmupSteps", {f"{SCHEDULE}.warmupSteps": 0, f"{SCHEDULE}.warmupRatio": 0.1}),
    ],
)
def test_a_run_starts_with_a_warm_up(brief, field, changes):
    assert brief(changes) == [("suggestion", "NoWarmup", f"{SCHEDULE}.{field}")]


def test_steps_of_warm_up_replace_the_ratio(brief):
    assert brief({f"{SCHEDULE}.warmupSteps": 1, f"{SCHEDULE}.warmupRatio": 0}) == []


@pytest.mark.parametrize(("steps", "long"), [(9_999, False), (10_000, True)])
def test_a_long_run_ends_with_a_decay(brief, steps, long):
    found = brief({f"{SCHEDULE}.type": "constant", "training.maxSteps": steps})
    assert found == ([("suggestion", "ConstantRate", f"{SCHEDULE}.type")] if long else [])


@pytest.mark.parametrize("optimizer", ["scheduleFreeAdamw", "scheduleFreeRadam", "scheduleFreeSgd"])
def test_a_schedule_free_optimizer_wants_a_constant_rate(brief, optimizer):
    changes = {"training.optimizer": optimizer}
    assert brief(changes) == [("warning", "ScheduledScheduleFree", f"{SCHEDULE}.type")]
    assert brief(changes | {f"{SCHEDULE}.type": "constant"}) == []


def test_gradients_are_clipped(brief):
    assert brief({"training.maxGradNorm": 0}) == [("warning", "NoGradientClipping", "training.maxGradNorm")]
    assert brief({"training.maxGradNorm": 0.3}) == []


@pytest.mark.parametrize(("epochs", "many"), [(10, False), (10.5, True)])
def test_records_are_not_learned_by_heart(brief, epochs, many):
    found = brief({"training.epochs": epochs})
    assert found == ([("suggestion", "ManyEpochs", "training.epochs")] if many else [])
    assert brief({"training.epochs": epochs, "training.maxSteps": 100}) == []


@pytest.mark.parametrize(("precision", "code"), [("fp16", "UnstablePrecision"), ("fp32", "SlowPrecision")])
def test_an_accelerator_computes_best_in_bf16(brief, precision, code):
    changes = {"resources.accelerators.perNode": 1, "training.precision": precision}
    assert brief(changes) == [("suggestion", code, "training.precision")]
    assert brief(changes | {"training.precision": "bf16"}) == []


@pytest.mark.parametrize(("kind", "severity"), [("fp16", "error"), ("bf16", "warning")])
def test_weights_that_are_trained_are_held_in_fp32(brief, kind, severity):
    changes = {"method.type": "full", RATE: 1e-5, "model.loadPrecision": kind}
    assert brief(changes) == [(severity, "NoMasterWeights", "model.loadPrecision")]
    assert brief(changes | {"distributed.zeroStage": 2}) == [], "DeepSpeed keeps a copy in fp32"
    assert brief(changes | {"method.type": "lora"}) == [], "a frozen base needs none"
