"""Thousands of random specs: nothing crashes, and every refusal says where and how to mend it."""

import json

import pytest

from finetune_api import FineTuneJobSpec, InvalidJobError, check_manifest, parse_job, validate_job
from finetune_api.crd import structural_schema
from finetune_api.validation import Code
from random_specs import SpecMaker

SCHEMA = structural_schema(FineTuneJobSpec)
CODES = {code.value for code in Code}
COUNTS = [pytest.param(300, id="300"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]


def manifest(spec):
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "random"},
        "spec": spec,
    }


def is_well_said(finding):
    json.dumps(finding.to_json_object(), allow_nan=False)
    return finding.code in CODES and bool(finding.path and finding.message and finding.remedy)


@pytest.mark.parametrize("count", COUNTS)
def test_what_the_schema_allows_is_accepted_by_the_models_and_judged_by_the_rules(count):
    maker = SpecMaker(seed=count)
    valid = 0
    for _ in range(count):
        job = parse_job(manifest(maker.value(SCHEMA)))
        findings = validate_job(job)
        assert all(is_well_said(finding) for finding in findings)
        assert parse_job(job.to_json_object()) == job
        valid += not any(finding.severity == "error" for finding in findings)
    assert valid < count


@pytest.mark.parametrize("count", COUNTS)
def test_a_spec_with_odd_values_is_accepted_or_refused_with_path_and_remedy(count):
    maker = SpecMaker(seed=-count)
    refused = 0
    for _ in range(count):
        spoiled = maker.spoiled(maker.value(SCHEMA))
        job, findings = check_manifest(manifest(spoiled))
        refused += job is None
        assert job is not None or findings
        assert [finding for finding in findings if not is_well_said(finding)] == []
    assert count / 2 < refused < count


def test_the_same_seed_draws_the_same_specs():
    assert SpecMaker(seed=7).value(SCHEMA) == SpecMaker(seed=7).value(SCHEMA)
    with pytest.raises(InvalidJobError):
        parse_job(manifest(SpecMaker(seed=7).value(SCHEMA) | {"unknown": 1}))
