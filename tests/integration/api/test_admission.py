"""What the API server itself refuses, in words that teach; and that the models agree with it."""

import pytest

from findings_table import CEL_CASES
from finetune_api import check_manifest
from finetune_api.crd import fine_tune_job_crd
from finetune_api.immutability import FIXED_POLICIES, FIXED_SECTIONS
from finetune_api.validation import errors_in
from onenode import ControlPlaneError


def refusal(call):
    with pytest.raises(ControlPlaneError) as refused:
        call()
    return str(refused.value)


@pytest.mark.parametrize("case", CEL_CASES, ids=lambda case: case.name)
def test_a_rule_in_cel_says_field_value_rule_and_remedy_as_the_validator_does(api, case):
    _, findings = check_manifest(case.manifest)
    metadata = {"name": case.manifest["metadata"]["name"]}
    said = words(refusal(lambda: api.create(case.manifest | {"metadata": metadata})))
    for found in errors_in(findings):
        assert as_the_api_server_says_it(found) in said


def as_the_api_server_says_it(finding):
    """Without the path, which stands before «Invalid value: …» in the API server's list."""
    return str(finding).removeprefix(f"{finding.path}: ")


def words(said):
    """What kubectl prints, without its line breaks."""
    return " ".join(said.split())


def test_the_table_has_a_job_for_each_rule_in_cel():
    broken = {str(found) for case in CEL_CASES for found in check_manifest(case.manifest)[1]}
    remedies = {rule["message"].partition(". ")[2] for rule in rules_in(fine_tune_job_crd())}
    assert {remedy for remedy in remedies if not any(text.endswith(remedy) for text in broken)} == set()


def rules_in(node):
    """Every CEL rule below a node of a schema, but for those that compare with the job as it was."""
    if isinstance(node, dict):
        own = node.get("x-kubernetes-validations", [])
        yield from (rule for rule in own if "oldSelf" not in rule["rule"])
        for child in node.values():
            yield from rules_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from rules_in(child)


CHANGES = [
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
"""Types, choices, bounds and names of fields: here the words are the API server's, and the field is ours."""


@pytest.mark.parametrize(("section", "value", "message"), CHANGES)
def test_a_mistake_of_form_is_refused_at_the_field_that_the_validator_names(
    api, manifest, section, value, message
):
    job = manifest("mistake", **{section: value})
    said = refusal(lambda: api.create(job))
    assert message in said
    for found in errors_in(check_manifest(job)[1]):
        assert f"spec.{found.path}" in said


def test_dora_on_a_quantized_base_may_be_allowed(api, manifest):
    quantization = {"type": "nf4", "allowDora": True}
    api.create(manifest("dora", method={"type": "dora"}, quantization=quantization))


def test_pissa_on_a_quantized_base_is_accepted(api, manifest):
    api.create(manifest("pissa", method={"type": "pissa"}, quantization={"type": "nf4"}))


@pytest.mark.parametrize("kind", ["full", "freeze", "spectrum"])
def test_quantized_weights_cannot_be_trained(api, manifest, kind):
    job = manifest("quantized", method={"type": kind}, quantization={"type": "nf4"})
    assert "quantized weights can't be trained" in refusal(lambda: api.create(job))


def test_what_a_preset_may_complete_is_left_to_it(api, manifest):
    """The preset may have the other half: the webhook and the operator look at the whole."""
    api.create(manifest("half", preset="ours", training={"schedule": {"stableRatio": 0.5}}))


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
