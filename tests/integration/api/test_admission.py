"""What the API server itself refuses, in words that teach; and that the models agree with it."""

import pytest

from finetune_api import check_manifest
from finetune_api.immutability import FIXED_POLICIES, FIXED_SECTIONS
from onenode import ControlPlaneError


def refusal(call):
    with pytest.raises(ControlPlaneError) as refused:
        call()
    return str(refused.value)


CHANGES = [
    ("model", {"id": "a/b", "path": "/m"}, "a model comes from exactly one place"),
    ("model", {}, "a model comes from exactly one place"),
    ("model", {"path": "/m", "revision": "v2"}, "model.revision: names a version on the hub"),
    ("model", {"id": "a/b", "tokenizer": {"id": "a/b", "path": "/t"}}, "at most one of id, path and train"),
    (
        "model",
        {"id": "a/b", "tokenizer": {"chatTemplate": "x", "chatTemplateName": "chatml"}},
        "chat template as text",
    ),
    ("dataset", {"train": {}}, "data comes from exactly one place"),
    ("dataset", {"train": {"path": "/d", "hub": {"id": "a/b"}}}, "data comes from exactly one place"),
    ("dataset", {"train": {"path": "/d"}, "eval": {}}, "data comes from exactly one place"),
    ("distributed", {"offload": {"parameters": "cpu"}, "zeroStage": 2}, "needs distributed.zeroStage 3"),
    ("distributed", {"offload": {"optimizer": "cpu"}}, "needs distributed.zeroStage 1 or more"),
    ("tracking", {"trackers": [{"type": "wandb"}]}, "Set tracking.project"),
    ("training", {"schedule": {"stableRatio": 0.5}}, "belongs to schedule.type warmupStableDecay"),
    ("output", {"storage": {}}, "set output.storage.claimName"),
    (
        "resources",
        {"volumes": [{"name": "d", "mountPath": "/d", "claimName": "c", "secret": "s"}]},
        "a volume has exactly one source",
    ),
    (
        "resources",
        {"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        "give value or valueFrom, not both",
    ),
    ("dataset", {"train": {"path": "/d"}, "streaming": True}, "Set training.maxSteps"),
    ("dataset", {"train": {"path": "/d"}, "streaming": True, "packing": True}, "dataset.packing: true looks"),
    ("training", {"epochs": 0}, "should be greater than 0"),
    ("training", {"microBatchSize": 0}, "should be greater than or equal to 1"),
    ("distributed", {"zeroStage": 4}, "should be less than or equal to 3"),
    ("method", {"type": "lorra"}, 'supported values: "full"'),
    ("training", {"learningRate": "2e-4"}, "must be of type number"),
    ("training", {"learning_rate": 1e-4}, "unknown field"),
    ("resources", {"memory": "8 GB"}, "should match"),
    ("resources", {"cpu": 0.5}, "must be of type"),
    ("resources", {"env": [{"name": "A"}, {"name": "A"}]}, "Duplicate value"),
]


@pytest.mark.parametrize(("section", "value", "message"), CHANGES)
def test_a_mistake_is_refused_with_a_message_that_teaches(api, manifest, section, value, message):
    job = manifest("mistake", **{section: value})
    assert message in refusal(lambda: api.create(job))


@pytest.mark.parametrize(("section", "value", "message"), CHANGES)
def test_the_validator_refuses_it_too(manifest, section, value, message):
    _, findings = check_manifest(manifest("mistake", **{section: value}))
    assert any(found.severity == "error" for found in findings)


def test_dora_on_a_quantized_base_must_be_allowed(api, manifest):
    sections = {"method": {"type": "dora"}, "quantization": {"type": "nf4"}}
    assert "dora on a quantized base is refused" in refusal(lambda: api.create(manifest("dora", **sections)))
    sections["quantization"]["allowDora"] = True
    api.create(manifest("dora", **sections))


def test_pissa_on_a_quantized_base_is_accepted(api, manifest):
    api.create(manifest("pissa", method={"type": "pissa"}, quantization={"type": "nf4"}))


@pytest.mark.parametrize("kind", ["full", "freeze", "spectrum"])
def test_quantized_weights_cannot_be_trained(api, manifest, kind):
    job = manifest("quantized", method={"type": kind}, quantization={"type": "nf4"})
    assert "quantized weights can't be trained" in refusal(lambda: api.create(job))


@pytest.mark.parametrize(
    ("name", "message"), [("d" * 41, "at most 40 characters"), ("1st", "start with a letter")]
)
def test_a_name_that_children_cannot_carry_is_refused(api, manifest, name, message):
    assert message in refusal(lambda: api.create(manifest(name)))


FIXED = {
    "preset": "chat",
    "model": {"id": "organisation/other"},
    "method": {"lora": {"rank": 8}},
    "quantization": {"doubleQuantization": False},
    "dataset": {"maxSamples": 5},
    "training": {"learningRate": 0.5},
    "distributed": {"deepspeedConfig": {"x": {"y": 1}}},
    "resources": {"memory": "9Gi"},
    "checkpoints": {"keep": 9},
    "output": {"mergeAdapter": True},
    "evaluation": {"everySteps": 7},
    "tracking": {"runName": "other"},
}
POLICIES = {
    "backoffSeconds": 1,
    "maxBackoffSeconds": 700,
    "outOfMemory": "retry",
    "gracePeriodSeconds": 60,
    "divergence": {"maxLoss": 9},
}


@pytest.fixture(scope="module")
def started(api, manifest):
    api.create(manifest("started"))
    api.patch(
        "started", {"status": {"observedGeneration": 1, "startTime": "2026-01-02T03:04:05Z"}}, status=True
    )
    return "started"


class TestAfterTheStart:
    def test_the_tables_of_this_test_are_complete(self):
        assert set(FIXED) == set(FIXED_SECTIONS)
        assert set(POLICIES) == set(FIXED_POLICIES)

    @pytest.mark.parametrize("section", FIXED)
    def test_a_section_is_fixed(self, api, started, section):
        message = refusal(lambda: api.patch(started, {"spec": {section: FIXED[section]}}))
        assert f"spec.{section} can't change once the job has started; create a new job" in message

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_policy_that_shapes_the_run_is_fixed(self, api, started, policy):
        message = refusal(lambda: api.patch(started, {"spec": {"failurePolicy": {policy: POLICIES[policy]}}}))
        assert f"spec.failurePolicy.{policy} can't change" in message

    @pytest.mark.parametrize(
        "change",
        [
            {"suspend": True},
            {"budget": {"maxCostUSD": 5}},
            {"failurePolicy": {"maxRetries": 9, "activeDeadlineSeconds": 60}},
            {"failurePolicy": {"stallTimeoutSeconds": 60, "ttlSecondsAfterFinished": 60}},
        ],
    )
    def test_pause_limits_and_deadlines_can_change(self, api, started, change):
        api.patch(started, {"spec": change})

    def test_the_status_can_change(self, api, started):
        api.patch(started, {"status": {"metrics": {"loss": "2.5"}}}, status=True)

    def test_labels_can_change(self, api, started):
        api.kubectl("label", "ftj", started, "team=a")


def test_before_the_start_everything_can_change(api, manifest):
    api.create(manifest("waiting"))
    for section, value in FIXED.items():
        api.patch("waiting", {"spec": {section: value}})


def test_starting_itself_is_no_change_of_the_spec(api, manifest):
    api.create(manifest("raw-start", distributed={"deepspeedConfig": {"x": [1, {"y": None}]}}))
    for moment in ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"):
        api.patch("raw-start", {"status": {"observedGeneration": 1, "startTime": moment}}, status=True)
