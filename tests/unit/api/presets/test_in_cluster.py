"""A stored job over its preset: as the preset is before the start, as it was after it."""

from typing import Any

import pytest

from finetune_api import InvalidJobError, ResolvedJob, check_manifest, parse_job, resolve
from finetune_api.presets.in_cluster import as_recorded, replaced_defaults, with_preset
from stored_jobs import manager, stored

Manifest = dict[str, Any]

WRITTEN: Manifest = {
    "preset": "team",
    "model": {"id": "organisation/model"},
    "dataset": {"train": {"hub": {"id": "organisation/data"}}},
    "training": {"epochs": 3.0},
}


def preset(name: str = "team", version: str = "7", **values: Any) -> dict[str, Manifest]:
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTunePreset",
        "metadata": {"name": name, "namespace": "team", "resourceVersion": version},
        "spec": {"title": "Ours", "values": values},
    }
    return {name: manifest}


def applied(written: Manifest = WRITTEN) -> Manifest:
    return stored(written, managedFields=[manager("Apply", written)])


def recorded(manifest: Manifest, own: dict[str, Manifest]) -> ResolvedJob:
    whole, found = with_preset(manifest, own)
    return resolve(parse_job(whole), 1, preset=found)


def test_the_preset_fills_what_the_job_left_open_and_nothing_else() -> None:
    own = preset(training={"epochs": 9, "learningRate": 1e-5}, method={"type": "full"})
    spec = parse_job(with_preset(applied(), own)[0]).spec
    assert (spec.training.epochs, spec.training.learning_rate, spec.method.type) == (3, 1e-5, "full")
    assert spec.preset == "team"


def test_what_was_applied_says_where_it_came_from() -> None:
    _, found = with_preset(applied(), preset(training={"epochs": 9}))
    assert found is not None
    assert (found.name, found.source, found.resource_version) == ("team", "namespace", "7")
    assert found.values == {"training": {"epochs": 9}}
    assert found.status.digest == found.digest


def test_a_built_in_preset_is_found_by_its_name() -> None:
    _, found = with_preset(applied({**WRITTEN, "preset": "chat"}), {})
    assert found is not None
    assert (found.source, found.resource_version) == ("builtin", None)


def test_ones_own_preset_comes_before_a_built_in_one() -> None:
    _, found = with_preset(applied({**WRITTEN, "preset": "chat"}), preset("chat", training={"epochs": 9}))
    assert found is not None
    assert found.source == "namespace"


def test_the_digest_is_of_the_values_alone() -> None:
    digests = [
        with_preset(applied(), preset(version=version, training={"epochs": epochs}))[1]
        for version, epochs in (("7", 9), ("8", 9), ("9", 10))
    ]
    first, same, other = (found.digest for found in digests if found is not None)
    assert first == same != other


@pytest.mark.parametrize(
    ("name", "code", "remedy"),
    [
        ("chatt", "UnknownPreset", "Did you mean chat?"),
        ("zzz", "UnknownPreset", "See `finetune presets`, or create the FineTunePreset that you mean"),
        (
            "broken",
            "InvalidPreset",
            "Fix the FineTunePreset: it needs metadata.name, spec.title and spec.values",
        ),
    ],
)
def test_a_name_that_means_nothing_is_one_clear_finding(name: str, code: str, remedy: str) -> None:
    broken = {"broken": {"metadata": {"name": "broken"}, "spec": {}}}
    with pytest.raises(InvalidJobError) as refused:
        with_preset(applied({**WRITTEN, "preset": name}), broken)
    [finding] = refused.value.findings
    assert (finding.code, finding.path, finding.value) == (code, "preset", name)
    assert finding.remedy == remedy


def test_a_job_is_checked_with_its_preset_in_it() -> None:
    own = preset(resources={"memory": "64Mi"})
    _, findings = check_manifest(with_preset(applied(), own)[0])
    assert "resources.sharedMemory" in [finding.path for finding in findings if finding.severity == "error"]


def test_after_a_plain_create_the_defaults_that_the_preset_replaced_are_named() -> None:
    created, own = stored(WRITTEN), preset(training={"epochs": 9, "seed": 42}, method={"type": "full"})
    [finding] = replaced_defaults(created, *with_preset(created, own))
    assert (finding.code, finding.severity) == ("PresetOverDefault", "warning")
    assert "gives training.epochs, method.type: after" in finding.message
    assert replaced_defaults(applied(), *with_preset(applied(), own)) == []
    assert replaced_defaults(created, *with_preset(created, preset(training={"seed": 42}))) == []


class TestOnceStarted:
    def test_a_changed_preset_changes_nothing(self) -> None:
        job = applied()
        record = recorded(job, preset(training={"learningRate": 1e-5}, model={"revision": "v1"}))
        again = parse_job(as_recorded(job, record)).spec
        assert again == record.spec

    def test_a_change_of_what_its_author_owns_changes_nothing(self) -> None:
        record = recorded(applied(), preset(training={"epochs": 9}))
        let_go = stored(WRITTEN, managedFields=[manager("Apply", {"model": WRITTEN["model"]})])
        assert parse_job(as_recorded(let_go, record)).spec.training.epochs == 3

    def test_limits_are_the_jobs_as_it_is_now_over_those_of_the_preset_as_it_was(self) -> None:
        own = preset(failurePolicy={"maxRetries": 7, "gracePeriodSeconds": 99}, budget={"maxGPUHours": 5.0})
        record = recorded(applied(), own)
        now = applied({**WRITTEN, "suspend": True, "failurePolicy": {"activeDeadlineSeconds": 60}})
        spec = parse_job(as_recorded(now, record)).spec
        assert spec.suspend
        assert spec.failure_policy.active_deadline_seconds == 60
        assert spec.failure_policy.max_retries == 7
        assert spec.failure_policy.grace_period_seconds == 99
        assert spec.budget.max_gpu_hours == 5

    def test_the_record_survives_its_way_through_a_config_map(self) -> None:
        record = recorded(applied(), preset(training={"epochs": 9}))
        assert ResolvedJob.model_validate_json(record.model_dump_json(by_alias=True)) == record
