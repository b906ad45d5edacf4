"""A FineTunePreset is checked as the job that would come of it."""

from typing import Any

import pytest

from finetune_api.presets import builtin_presets
from finetune_api.presets.check import check_preset


def preset(**values: Any) -> dict[str, Any]:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTunePreset",
        "metadata": {"name": "team"},
        "spec": {"title": "Ours", "values": values},
    }


def found(manifest: dict[str, Any]) -> list[str]:
    return [f"{f.severity} {f.code} {f.path}" for f in check_preset(manifest)]


def test_a_preset_with_good_values_has_no_findings() -> None:
    assert found(preset(training={"epochs": 1, "learningRate": 1e-4})) == []


@pytest.mark.parametrize("builtin", builtin_presets(), ids=lambda preset: preset.name)
def test_no_built_in_preset_is_refused(builtin: Any) -> None:
    assert not [line for line in found(preset(**builtin.values)) if line.startswith("error")]


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"training": {"epoch": 1}}, "error UnknownField values.training.epoch"),
        ({"training": {"epochs": "many"}}, "error WrongType values.training.epochs"),
        ({"method": {"type": "lorra"}}, "error NotAllowed values.method.type"),
        ({"training": {"learningRate": 99}}, "error OutOfRange values.training.learningRate"),
        ({"preset": "chat"}, "error NotAllowed values.preset"),
        ({"cancel": True}, "error NotAllowed values.cancel"),
    ],
)
def test_values_that_no_job_could_have_are_refused(values: dict[str, Any], finding: str) -> None:
    assert found(preset(**values)) == [finding]


def test_a_contradiction_that_a_job_may_solve_is_a_warning() -> None:
    assert found(preset(distributed={"offload": {"parameters": "cpu"}})) == [
        "warning IncompletePreset values.distributed.offload.parameters"
    ]


def test_what_the_preset_does_not_touch_is_not_its_matter() -> None:
    assert found(preset(checkpoints={"everySteps": 10})) == []


def test_a_preset_without_values_is_told_so() -> None:
    manifest = preset()
    del manifest["spec"]["values"]
    assert found(manifest) == ["error MissingField values"]
