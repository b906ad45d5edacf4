import pytest

GROUPS = {"training.stage": "grpo", "dataset.format": "messages"}
REWARDED = {
    "training.stage": "ppo",
    "dataset.format": "messages",
    "training.ppo.rewardModelId": "a/reward",
}
PAIRS = {"training.stage": "dpo", "dataset.format": "preference"}


@pytest.mark.parametrize(
    ("section", "stage", "form", "settings"),
    [
        ("dpo", "dpo", "preference", {}),
        ("kto", "kto", "messages", {}),
        ("ppo", "ppo", "messages", {"rewardModelId": "a/reward"}),
        ("grpo", "grpo", "messages", {"rewardFunctions": ["brevity"]}),
        ("rewardModel", "rm", "preference", {}),
    ],
)
def test_settings_of_another_stage_are_refused_rather_than_ignored(brief, section, stage, form, settings):
    changes = {f"training.{section}": settings, "training.microBatchSize": 2}
    assert brief(changes) == [("error", "Conflict", f"training.{section}")]
    assert brief(changes | {"training.stage": stage, "dataset.format": form}) == []


def test_label_smoothing_is_for_likelihood(brief):
    changes = {"training.labelSmoothing": 0.1}
    assert brief(changes) == []
    assert brief(changes | PAIRS) == [("error", "Conflict", "training.labelSmoothing")]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("sequenceClassification", {}), ("causalLm", {"training.stage": "rm", "dataset.format": "preference"})],
)
def test_reward_models_classify_and_others_predict(brief, kind, changes):
    assert brief(changes | {"method.lora.taskType": kind}) == [("error", "Conflict", "method.lora.taskType")]
    assert brief(changes) == []


@pytest.mark.parametrize("loss", ["simpo", "orpo"])
def test_a_loss_without_reference_has_no_reference_model(brief, loss):
    dpo = {"lossType": loss, "referenceModel": "a/b"}
    assert brief(PAIRS | {"training.dpo": dpo}) == [("error", "Conflict", "training.dpo.referenceModel")]
    assert brief(PAIRS | {"training.dpo": dpo | {"lossType": "sigmoid"}}) == []


@pytest.mark.parametrize(("smoothing", "possible"), [(0.49, True), (0.5, False)])
def test_the_robust_loss_has_a_smoothing_under_one_half(brief, smoothing, possible):
    found = brief(PAIRS | {"training.dpo": {"lossType": "robust", "labelSmoothing": smoothing}})
    assert found == ([] if possible else [("error", "OutOfRange", "training.dpo.labelSmoothing")])


@pytest.mark.parametrize(("size", "enough"), [(1, False), (2, True)])
def test_kto_compares_the_records_of_a_micro_batch(brief, size, enough):
    found = brief({"training.stage": "kto", "dataset.format": "messages", "training.microBatchSize": size})
    assert found == ([] if enough else [("error", "Requires", "training.microBatchSize")])


def test_ppo_has_one_reward_model(brief):
    stage = {"training.stage": "ppo", "dataset.format": "messages"}
    both = {"rewardModelId": "a/b", "rewardModelPath": "/r"}
    assert brief(stage) == [("error", "Requires", "training.ppo")]
    assert brief(stage | {"training.ppo": {}}) == [("error", "NotExactlyOne", "training.ppo")]
    assert brief(stage | {"training.ppo": both}) == [("error", "NotExactlyOne", "training.ppo")]


@pytest.mark.parametrize(("micro", "accumulated", "nodes"), [(2, 1, 1), (1, 2, 1), (1, 1, 2)])
def test_ppo_draws_more_than_one_answer_at_a_time(brief, micro, accumulated, nodes):
    """It measures them against their mean."""
    one = REWARDED | {"training.microBatchSize": 1, "training.gradientAccumulationSteps": 1}
    refused = ("error", "Requires", "training.gradientAccumulationSteps")
    assert refused in brief(one)
    more = {"training.microBatchSize": micro, "training.gradientAccumulationSteps": accumulated}
    shared = {"distributed.nodes": nodes, "checkpoints.storage": {"claimName": "runs"}}
    assert refused not in brief(one | shared | more)


def test_grpo_has_a_reward_function(brief):
    missing = [("error", "Requires", "training.grpo.rewardFunctions")]
    assert brief(GROUPS) == missing
    assert brief(GROUPS | {"training.grpo": {}}) == missing


def test_grpo_has_a_weight_for_each_reward_function(brief):
    grpo = {"rewardFunctions": ["brevity", "ended"], "rewardWeights": [1.0]}
    assert brief(GROUPS | {"training.grpo": grpo}) == [("error", "Conflict", "training.grpo.rewardWeights")]
    assert brief(GROUPS | {"training.grpo": grpo | {"rewardWeights": [1.0, 2.0]}}) == []


@pytest.mark.parametrize(
    ("size", "nodes", "divides"), [(8, 1, True), (16, 1, True), (32, 1, False), (32, 2, True)]
)
def test_the_group_divides_the_effective_batch_of_all_ranks(brief, size, nodes, divides):
    grpo = {"rewardFunctions": ["brevity"], "groupSize": size}
    shared = {"distributed.nodes": nodes, "checkpoints.storage": {"claimName": "runs"}}
    found = brief(GROUPS | shared | {"training.grpo": grpo})
    assert found == ([] if divides else [("error", "Conflict", "training.grpo.groupSize")])


@pytest.mark.parametrize("loss", ["hinge", "ipo", "bcoPair", "orpo"])
def test_label_smoothing_is_a_part_of_some_losses_only(brief, loss):
    dpo = {"lossType": loss, "labelSmoothing": 0.1}
    assert brief(PAIRS | {"training.dpo": dpo}) == [("error", "Conflict", "training.dpo.labelSmoothing")]
    for smoothed in ("sigmoid", "robust", "simpo"):
        assert brief(PAIRS | {"training.dpo": dpo | {"lossType": smoothed}}) == []


@pytest.mark.parametrize("stage", ["grpo", "ppo"])
@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        (
            {"training.S.sampling": {"temperature": 0}},
            "OutOfRange",
            "training.S.sampling.temperature",
        ),
        ({"training.maxSequenceLength": 256}, "Conflict", "training.S.sampling.maxNewTokens"),
        ({"distributed.zeroStage": 3}, "Conflict", "distributed.zeroStage"),
        (
            {"failurePolicy.divergence": {"lossIncreaseFactor": 2}},
            "Conflict",
            "failurePolicy.divergence.lossIncreaseFactor",
        ),
    ],
)
def test_answers_that_are_drawn_in_training_need_chance_and_room(brief, stage, changes, code, path):
    valid = REWARDED if stage == "ppo" else GROUPS | {"training.grpo.rewardFunctions": ["ended"]}
    assert brief(valid) == []
    changes = {name.replace(".S.", f".{stage}."): value for name, value in changes.items()}
    assert ("error", code, path.replace(".S.", f".{stage}.")) in brief(valid | changes)


@pytest.mark.parametrize(
    "stage", [REWARDED, GROUPS | {"training.grpo.rewardFunctions": ["brevity"], "training.microBatchSize": 8}]
)
def test_noise_in_the_learning_pass_alone_would_be_taken_for_learning(brief, stage):
    noise = "training.neftuneNoiseAlpha"
    clean = brief(stage)
    assert set(brief(stage | {noise: 5.0})) - set(clean) == {("error", "Conflict", noise)}
    assert brief({noise: 5.0}) == []
