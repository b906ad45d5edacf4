"""What holds for every job: round trips, no crash, and a path and a remedy in every refusal."""

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_api import (
    FineTuneJob,
    FineTuneJobSpec,
    InvalidJobError,
    check_manifest,
    parse_job,
    validate_job,
)
from finetune_api.crd import structural_schema, to_yaml
from finetune_api.lineage import lineage_hash
from finetune_api.resolved import ResolvedJob, resolve
from finetune_api.status import FineTuneJobStatus
from schema_values import spoiled, values

SPECS = values(structural_schema(FineTuneJobSpec))
MANIFESTS = SPECS.map(
    lambda spec: {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "random"},
        "spec": spec,
    }
)

slow_data = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@slow_data
@given(MANIFESTS)
def test_what_the_schema_allows_the_models_accept(manifest: Any) -> None:
    parse_job(manifest)


@slow_data
@given(MANIFESTS)
def test_a_job_survives_json_and_yaml(manifest: Any) -> None:
    job = parse_job(manifest)
    data = job.to_json_object()
    assert FineTuneJob.from_json_object(data) == job
    assert FineTuneJob.from_json_object(json.loads(json.dumps(data))) == job
    assert FineTuneJob.from_json_object(yaml.safe_load(to_yaml(data))) == job


@slow_data
@given(MANIFESTS)
def test_filling_in_defaults_twice_changes_nothing(manifest: Any) -> None:
    once = parse_job(manifest).to_json_object()
    assert parse_job(once).to_json_object() == once


@slow_data
@given(MANIFESTS, st.sampled_from(["cluster", "local"]))
def test_every_finding_about_an_allowed_job_has_path_and_remedy(manifest: Any, target: Any) -> None:
    for finding in validate_job(parse_job(manifest), target):
        assert finding.path
        assert finding.message
        assert finding.remedy
        json.dumps(finding.to_json_object(), allow_nan=False)


@slow_data
@given(spoiled(MANIFESTS))
def test_a_spoiled_manifest_is_accepted_or_refused_with_path_and_remedy(manifest: Any) -> None:
    _, findings = check_manifest(manifest)
    for finding in findings:
        assert finding.message
        assert finding.remedy
        json.dumps(finding.to_json_object(), allow_nan=False)


@slow_data
@given(MANIFESTS, st.integers(1, 99))
def test_a_resolved_job_survives_json(manifest: Any, attempt: int) -> None:
    resolved = resolve(parse_job(manifest), attempt)
    assert ResolvedJob.from_json_object(resolved.to_json_object()) == resolved
    assert resolved.effective_batch_size >= resolved.world_size


@slow_data
@given(MANIFESTS)
def test_the_lineage_depends_on_values_alone(manifest: Any) -> None:
    job = parse_job(manifest)
    again = parse_job(json.loads(json.dumps(job.to_json_object(), sort_keys=True)))
    assert lineage_hash(again.spec) == lineage_hash(job.spec)


@slow_data
@given(values(structural_schema(FineTuneJobStatus)))
def test_a_status_survives_json(status: Any) -> None:
    model = FineTuneJobStatus.from_json_object(status)
    assert FineTuneJobStatus.from_json_object(model.to_json_object()) == model


@given(st.floats())
def test_a_learning_rate_is_accepted_exactly_in_its_range(rate: float) -> None:
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "spec": {"model": {"id": "a/b"}, "dataset": {"train": {}}, "training": {"learningRate": rate}},
    }
    if math.isfinite(rate) and 0 < rate <= 10:
        assert parse_job(manifest).spec.training.learning_rate == rate
    else:
        with pytest.raises(InvalidJobError):
            parse_job(manifest)
