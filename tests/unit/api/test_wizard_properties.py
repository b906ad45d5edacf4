"""What the wizard promises about any configuration, each on a hundred drawn ones and more.

A configuration can be submitted exactly when it is complete, in range and consistent; warnings and
suggestions never stand in the way. What this version can't do yet is left aside: it says nothing about the
configuration.
"""

from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from finetune_api import Finding, check_manifest
from finetune_api.validation import validate_job
from manifests import changed

PROVIDERS = ("cluster", "local", "runpod", "lambda", "vast")
ALGORITHMS = ("lora", "qlora", "dora", "pissa", "rslora")
QUANTIZATIONS = ("none", "int8", "int4", "nf4", "fp4")
TRACKERS = ("tensorboard", "wandb", "comet", "phoenix", "mlflow", "trackio")
ADDRESSES = {"phoenix": {"url": "https://phoenix.example.org"}}
"""Of trackers that have no public service."""
FOUR_BIT = ("int4", "nf4", "fp4")
MODULES = st.lists(st.sampled_from(["q_proj", "k_proj", "v_proj", "o_proj"]), min_size=1, unique=True)

hundred = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

COMPLETE = st.fixed_dictionaries(
    {
        "resources.provider": st.sampled_from(PROVIDERS),
        "resources.accelerators.perNode": st.just(1),
        "method.type": st.sampled_from(["lora", "rslora"]),
        "quantization.type": st.sampled_from(QUANTIZATIONS),
        "tracking.trackers": st.lists(st.sampled_from(TRACKERS), unique=True, max_size=2).map(
            lambda kinds: [{"type": kind} | ADDRESSES.get(kind, {}) for kind in kinds]
        ),
        "tracking.project": st.text(st.characters(codec="ascii"), min_size=1, max_size=256),
        "method.lora.rank": st.integers(1, 4096),
        "method.lora.alpha": st.floats(0, 65536, exclude_min=True),
        "method.lora.dropout": st.floats(0, 1, exclude_max=True),
        "method.lora.targetModules": MODULES,
        "training.learningRate": st.floats(0, 10, exclude_min=True),
        "training.microBatchSize": st.integers(1, 65536),
        "training.gradientAccumulationSteps": st.integers(1, 65536),
        "training.epochs": st.floats(0, 10000, exclude_min=True),
    }
)

REQUIRED = ("model", "dataset", "dataset.train", "model.id")
POSITIVE = (
    "method.lora.rank",
    "method.lora.alpha",
    "training.learningRate",
    "training.microBatchSize",
    "training.gradientAccumulationSteps",
    "training.epochs",
)


def findings(changes: dict[str, Any]) -> list[Finding]:
    """What is said where the job is meant to run, but for what this version can't do yet."""
    job, found = check_manifest(changed(changes))
    if job is not None and job.spec.resources.provider == "local":
        found = validate_job(job, "local")
    assert all(finding.path and finding.message and finding.remedy for finding in found)
    return [finding for finding in found if finding.code != "NotYetSupported"]


def errors(changes: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found.code, found.path) for found in findings(changes) if found.severity == "error"]


def says(changes: dict[str, Any], severity: str, code: str) -> bool:
    return any((found.severity, found.code) == (severity, code) for found in findings(changes))


@hundred
@given(COMPLETE)
def test_1_a_complete_configuration_can_be_submitted(configuration):
    assert errors(configuration) == []


@hundred
@given(COMPLETE, st.sampled_from(REQUIRED))
def test_2_a_configuration_without_a_required_field_is_refused_by_name(configuration, missing):
    found = errors(configuration | {missing: None})
    assert any(f"{path}.".startswith(f"{missing}.") or missing.startswith(f"{path}.") for _, path in found)


@hundred
@given(
    COMPLETE,
    st.sampled_from(["resources.provider", "method.type", "quantization.type"]),
    st.text(max_size=12),
)
def test_3_providers_algorithms_and_quantizations_are_closed_lists(configuration, field, value):
    assume(value not in {*PROVIDERS, *ALGORITHMS, *QUANTIZATIONS, "full", "freeze", "spectrum"})
    assert errors(configuration | {field: value}) == [("NotAllowed", field)]


@hundred
@given(COMPLETE, st.sampled_from(POSITIVE), st.floats(-1e9, 0) | st.integers(-(10**9), 0))
def test_4_hyperparameters_are_positive(configuration, field, value):
    assert [path for _, path in errors(configuration | {field: value})] == [field]


@hundred
@example(dropout=0.0)
@example(dropout=0.9999999)
@example(dropout=1.0)
@example(dropout=-1e-9)
@given(st.floats(-1, 2))
def test_5_dropout_is_at_least_0_and_under_1(dropout):
    found = errors({"method.lora.dropout": dropout})
    assert found == ([] if 0 <= dropout < 1 else [("OutOfRange", "method.lora.dropout")])


@hundred
@given(st.just([]) | MODULES)
def test_6_at_least_one_target_module_is_named(modules):
    found = errors({"method.lora.targetModules": modules})
    assert found == ([] if modules else [("OutOfRange", "method.lora.targetModules")])


@hundred
@given(st.sampled_from(ALGORITHMS), st.sampled_from(QUANTIZATIONS), st.booleans())
def test_7_dora_is_refused_exactly_on_a_quantized_base_where_it_is_not_allowed(algorithm, kind, allowed):
    configuration = {
        "resources.accelerators.perNode": 1,
        "method.type": algorithm,
        "quantization": {"type": kind, "allowDora": allowed},
    }
    refused = ("QuantizationConflict", "quantization.type") in errors(configuration)
    assert refused == (algorithm == "dora" and kind != "none" and not allowed)


@hundred
@given(COMPLETE, st.booleans())
def test_8_a_tracker_needs_a_project_and_no_tracker_needs_none(configuration, named):
    if not named:
        configuration = configuration | {"tracking.project": None}
    refused = bool(configuration["tracking.trackers"]) and not named
    assert errors(configuration) == ([("Requires", "tracking.project")] if refused else [])
    assert says(configuration, "suggestion", "NoTracker") == (not configuration["tracking.trackers"])


@hundred
@example(configuration={}, algorithm="lora", rate=1e-3, batch=1, steps=1, provider="local")
@example(configuration={}, algorithm="qlora", rate=1.0000001e-3, batch=1, steps=2, provider="vast")
@given(
    COMPLETE,
    st.sampled_from(["lora", "qlora", "rslora"]),
    st.floats(1e-4, 1e-2),
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from(PROVIDERS),
)
def test_9_warnings_and_suggestions_come_exactly_at_their_boundaries(
    configuration, algorithm, rate, batch, steps, provider
):
    configuration = configuration | {
        "method.type": algorithm,
        "training.learningRate": rate,
        "training.microBatchSize": batch,
        "training.gradientAccumulationSteps": steps,
        "resources.provider": provider,
    }
    four_bit = configuration.get("quantization.type") in FOUR_BIT
    assert says(configuration, "warning", "HighLearningRate") == (rate > 1e-3)
    assert says(configuration, "warning", "SmallEffectiveBatch") == (batch * steps == 1)
    assert says(configuration, "warning", "QloraWithoutQuantization") == (
        algorithm == "qlora" and not four_bit
    )
    assert says(configuration, "suggestion", "LocalProvider") == (provider == "local")


@hundred
@given(COMPLETE, st.sampled_from([*POSITIVE, *REQUIRED]))
def test_10_a_refusal_has_errors_and_what_is_accepted_has_none(configuration, field):
    """Completeness: a job comes out of the check exactly when nothing that it needs is missing or wrong."""
    whole, _ = check_manifest(changed(configuration))
    broken, found = check_manifest(changed(configuration | {field: None if field in REQUIRED else 0}))
    assert whole is not None
    assert any(finding.severity == "error" and finding.code != "NotYetSupported" for finding in found)
    assert broken is None or field == "model.id", "only a missing model id is a matter of several fields"
