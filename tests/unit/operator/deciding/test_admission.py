"""Admission: who is refused, who never is, and what kubectl prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from finetune_api import Finding, FineTuneJob, FineTuneJobSpec
from finetune_api.crd import structural_schema
from finetune_api.hardware import Accelerator, parse_overrides
from finetune_api.resources import ResourcesSpec
from finetune_operator.deciding.admission import (
    ALL_WARNINGS_CHARACTERS,
    WARNING_CHARACTERS,
    AdmissionRequest,
    Verdict,
    answer,
    judge,
    warning_lines,
)
from finetune_operator.hardware import Hardware, accelerators_of
from schema_values import spoiled, values

VALID: dict[str, Any] = {
    "model": {"id": "organisation/model"},
    "dataset": {"format": "alpaca", "train": {"hub": {"id": "organisation/data"}}},
    "checkpoints": {"storage": {"claimName": "models"}},
}
INVALID = {**VALID, "resources": {"memory": "64Mi"}}
RISKY = {**VALID, "training": {"learningRate": 0.01}}


def manifest(spec: Any, *, status: Any = None, **metadata: Any) -> dict[str, Any]:
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tune", "namespace": "team", **metadata},
        "spec": spec,
    }
    return job if status is None else {**job, "status": status}


def create(spec: Any, **more: Any) -> Verdict:
    return judge(AdmissionRequest(uid="7", operation="CREATE", object=manifest(spec, **more)))


def update(old: dict[str, Any], new: dict[str, Any]) -> Verdict:
    return judge(AdmissionRequest(uid="7", operation="UPDATE", object=new, old_object=old))


def test_a_valid_job_passes_with_no_more_than_suggestions() -> None:
    verdict = create(VALID)
    assert verdict.allowed
    assert all(warning.startswith("suggestion ") for warning in verdict.warnings)


def test_an_invalid_job_is_refused() -> None:
    verdict = create(INVALID)
    assert not verdict.allowed
    assert [error.path for error in verdict.errors] == ["resources.sharedMemory"]


def test_a_risky_job_passes_with_a_warning() -> None:
    verdict = create(RISKY)
    assert verdict.allowed
    assert verdict.warnings[0].startswith("HighLearningRate: training.learningRate: 0.01 ")


def test_a_refused_job_is_told_its_warnings_too() -> None:
    verdict = create({**INVALID, **{"training": {"learningRate": 0.01}}})
    assert not verdict.allowed
    assert verdict.warnings[0].startswith("HighLearningRate: ")


def test_a_status_that_this_version_does_not_understand_is_not_its_authors_fault() -> None:
    assert create(VALID, status={"attempts": "many"}).allowed


SPECS = values(structural_schema(FineTuneJobSpec))
drawn = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@drawn
@given(SPECS | spoiled(SPECS))
def test_whatever_the_spec_the_answer_says_why_and_fits_and_the_same_spec_passes_again(spec: Any) -> None:
    request = AdmissionRequest(uid="7", operation="CREATE", object=manifest(spec))
    verdict = judge(request)
    response: Any = json.loads(json.dumps(answer(request, verdict)))["response"]
    assert response["allowed"] == (not verdict.errors)
    for cause in [] if response["allowed"] else response["status"]["details"]["causes"]:
        assert cause["reason"]
        assert cause["message"]
    assert sum(map(len, verdict.warnings)) <= ALL_WARNINGS_CHARACTERS
    assert update(manifest(spec), manifest(spec, labels={"team": "a"})) == Verdict()


class TestAnUpdate:
    def test_that_breaks_a_job_is_refused(self) -> None:
        assert not update(manifest(VALID), manifest(INVALID)).allowed

    def test_that_mends_a_job_passes(self) -> None:
        assert update(manifest(INVALID), manifest(VALID)).allowed

    def test_that_leaves_something_wrong_is_refused_before_the_start(self) -> None:
        assert not update(manifest(INVALID), manifest({**INVALID, "budget": {"maxHours": 5}})).allowed

    @pytest.mark.parametrize(
        "metadata",
        [{"labels": {"team": "a"}}, {"finalizers": []}, {"annotations": {"note": "x"}}],
        ids=["label", "finalizer", "annotation"],
    )
    def test_of_the_metadata_of_an_invalid_job_passes_in_silence(self, metadata: Any) -> None:
        assert update(manifest(INVALID), manifest(INVALID, **metadata)) == Verdict()

    def test_of_the_status_of_an_invalid_job_passes(self) -> None:
        assert update(manifest(INVALID), manifest(INVALID, status={"phase": "Stalled"})) == Verdict()

    @pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (None, True), (True, None)])
    def test_that_pauses_or_resumes_always_passes(self, before: bool | None, after: bool | None) -> None:
        def job(suspend: bool | None) -> dict[str, Any]:
            return manifest(INVALID if suspend is None else {**INVALID, "suspend": suspend})

        assert update(job(before), job(after)) == Verdict()

    def test_of_a_job_that_is_being_deleted_passes(self) -> None:
        leaving = manifest(INVALID, deletionTimestamp="2026-01-01T00:00:00Z")
        assert update(manifest(VALID), leaving) == Verdict()

    @pytest.mark.parametrize(
        "status",
        [{"startTime": "2026-01-01T00:00:00Z"}, {"attempts": [{"number": 1}]}],
        ids=["start time", "attempt"],
    )
    def test_of_a_started_job_answers_only_for_what_it_changes(self, status: Any) -> None:
        running = manifest(INVALID, status=status)
        limited = manifest({**INVALID, "failurePolicy": {"maxRetries": 9}}, status=status)
        worse = manifest({**INVALID, "model": {"id": "a/b", "path": "/m"}}, status=status)
        assert update(running, limited).allowed
        assert [error.path for error in update(running, worse).errors] == ["model"]


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_other_operations_are_none_of_its_business(operation: Any) -> None:
    request = AdmissionRequest(uid="7", operation=operation, old_object=manifest(INVALID))
    assert judge(request) == Verdict()


class TestTheAnswer:
    def test_names_the_request(self) -> None:
        request = AdmissionRequest(uid="7", operation="CREATE", object=manifest(VALID))
        assert answer(request, Verdict()) == {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": "7", "allowed": True},
        }

    def test_lists_field_value_rule_and_remedy_as_the_schemas_refusals_are_listed(self) -> None:
        request = AdmissionRequest(uid="7", operation="CREATE", object=manifest(INVALID))
        response: Any = answer(request, judge(request))["response"]
        assert response["allowed"] is False
        status = response["status"]
        assert (status["code"], status["reason"]) == (422, "Invalid")
        assert status["details"]["name"] == "tune"
        [cause] = status["details"]["causes"]
        assert cause["reason"] == "Conflict"
        assert cause["field"] == "spec.resources.sharedMemory"
        assert cause["message"].startswith("1Gi counts as the pod's memory")
        assert cause["message"].endswith("Raise resources.memory or lower resources.sharedMemory.")

    def test_leaves_paths_outside_the_spec_as_they_are(self) -> None:
        request = AdmissionRequest(uid="7", operation="CREATE", object=manifest(VALID, name="1st"))
        response: Any = answer(request, judge(request))["response"]
        assert response["status"]["details"]["causes"][0]["field"] == "metadata.name"


def finding(number: int = 0, *, message: str = "may go wrong", severity: Any = "warning") -> Finding:
    path = f"resources.env[{number}].value"
    return Finding(severity=severity, code="PlainSecret", path=path, message=message, remedy="Use a Secret")


class TestWarnings:
    def test_are_written_out_while_there_is_room(self) -> None:
        [line] = warning_lines([finding(message="may go wrong " * 100)])
        assert len(line) > WARNING_CHARACTERS

    def test_say_that_a_suggestion_is_one(self) -> None:
        assert warning_lines([finding(severity="suggestion")])[0].startswith(
            "suggestion PlainSecret: resources."
        )

    def test_too_many_are_shortened_so_that_the_api_server_cuts_none(self) -> None:
        lines = warning_lines([finding(number, message="may go wrong " * 30) for number in range(40)])
        assert sum(map(len, lines)) <= ALL_WARNINGS_CHARACTERS
        assert max(map(len, lines)) <= WARNING_CHARACTERS
        for number, line in enumerate(lines[:-1]):
            assert line.startswith(f"PlainSecret: resources.env[{number}].value: ")
        assert lines[-1] == f"{40 - len(lines) + 1} more findings: `finetune validate` shows all of them"

    def test_have_no_control_characters_because_the_api_server_would_drop_them_whole(self) -> None:
        [line] = warning_lines([finding(message="two\nlines\x00and\x7fmore")])
        assert "two lines and more" in line


PRESETS: dict[str, Any] = {
    "small": {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTunePreset",
        "metadata": {"name": "small", "namespace": "team"},
        "spec": {"title": "Small", "values": {"resources": {"memory": "64Mi"}}},
    }
}


class TestPresets:
    def judged(self, spec: dict[str, Any], **metadata: Any) -> Verdict:
        request = AdmissionRequest(uid="7", operation="CREATE", object=manifest(spec, **metadata))
        return judge(request, lambda namespace: PRESETS if namespace == "team" else {})

    def test_a_job_is_judged_with_its_preset_in_it(self) -> None:
        refused = self.judged({**VALID, "preset": "small"})
        assert [error.path for error in refused.errors] == ["resources.sharedMemory"]
        assert self.judged({**VALID, "preset": "small", "resources": {"memory": "9Gi"}}).allowed

    def test_an_unknown_preset_is_a_warning_because_it_may_come_later(self) -> None:
        verdict = self.judged({**VALID, "preset": "chatt"})
        assert verdict.allowed
        [warning] = verdict.warnings
        assert warning.startswith("UnknownPreset: preset: chatt is not the name of a preset")
        assert warning.endswith("Did you mean chat?")

    def test_a_preset_of_another_namespace_is_unknown(self) -> None:
        [warning] = self.judged({**VALID, "preset": "small"}, namespace="others").warnings
        assert warning.startswith("UnknownPreset: ")

    def test_where_nothing_tells_what_was_written_the_replaced_defaults_are_named(self) -> None:
        filled_in = {"resources": ResourcesSpec().to_json_object()}
        verdict = self.judged({**VALID, "preset": "small", **filled_in})
        assert any("PresetOverDefault: preset: small gives resources.memory:" in w for w in verdict.warnings)

    def test_a_preset_itself_is_judged(self) -> None:
        wrong = {**PRESETS["small"], "spec": {"title": "Small", "values": {"preset": "chat"}}}
        request = AdmissionRequest(uid="7", operation="CREATE", object=wrong)
        response: Any = answer(request, judge(request))["response"]
        details = response["status"]["details"]
        assert (details["kind"], details["name"]) == ("FineTunePreset", "small")
        assert [cause["field"] for cause in details["causes"]] == ["spec.values.preset"]


LARGE = VALID | {
    "model": {"id": "meta-llama/Llama-3.1-8B"},
    "method": {"type": "full"},
    "resources": {"accelerators": {"perNode": 1}, "memory": "64Gi"},
}
L4_NODE = {
    "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
    "status": {"allocatable": {"nvidia.com/gpu": "1"}},
}


def judged_on(hardware: Hardware, spec: dict[str, Any]) -> Verdict:
    request = AdmissionRequest(uid="7", operation="CREATE", object=manifest(spec))
    return judge(request, hardware=hardware)


def refused_on(hardware: Hardware, spec: dict[str, Any]) -> set[str]:
    return {error.code for error in judged_on(hardware, spec).errors}


def test_a_job_that_only_the_nodes_cannot_hold_is_stored_with_a_warning() -> None:
    assert not any("GiB" in warning for warning in judged_on(Hardware(), LARGE).warnings)
    verdict = judged_on(Hardware(nodes=tuple(accelerators_of([L4_NODE]))), LARGE)
    assert verdict.allowed
    [warning] = [warning for warning in verdict.warnings if "GiB" in warning]
    assert warning.startswith("NoNodeFits: training.microBatchSize: ")
    assert warning.endswith(
        "where a pool of larger nodes scales from zero, name its accelerator in resources.accelerators.type."
    )


def test_a_job_that_names_the_accelerator_of_a_pool_without_nodes_is_judged_by_it() -> None:
    named = LARGE | {"resources": {"accelerators": {"perNode": 1, "type": "h200"}, "memory": "64Gi"}}
    assert not any(
        "NoNodeFits" in warning
        for warning in judged_on(Hardware(nodes=tuple(accelerators_of([L4_NODE]))), named).warnings
    )


def test_memory_is_estimated_once_for_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune_api.validation.rules import estimate
    from finetune_operator import hardware

    judged: list[str] = []

    def memory_fit_on(_: FineTuneJob, accelerator: Accelerator) -> list[Finding]:
        judged.append(accelerator.name)
        return []

    for module in (estimate, hardware):
        monkeypatch.setattr(module, "memory_fit_on", memory_fit_on)
    named = LARGE | {"resources": {"accelerators": {"perNode": 1, "type": "l4"}}}
    judged_on(Hardware(nodes=tuple(accelerators_of([L4_NODE]))), named)
    assert judged == ["l4"]


def test_memory_is_judged_by_the_administrators_list() -> None:
    house = {"name": "house-gpu", "memoryGiB": 16, "tflops": {"bf16": 200}, "bandwidthGBs": 1500}
    catalog = parse_overrides({"accelerators": [house | {"watts": 350, "interconnectGBs": 64}]})
    named = LARGE | {"resources": {"accelerators": {"perNode": 1, "type": "house-gpu"}, "memory": "64Gi"}}
    assert refused_on(Hardware(), named) == set()
    assert refused_on(Hardware(catalog), named) == {"DoesNotFit"}
