"""A preset is what a job starts from: whatever the job says itself, wins."""

import pytest

from finetune_api import FineTuneJobSpec
from finetune_api.presets import resolve
from finetune_api.presets.merge import ALTERNATIVES, leaves
from finetune_api.validation.fields import field_named, model_at

VALUES = {
    "training": {"epochs": 3, "schedule": {"warmupRatio": 0.1}},
    "method": {"lora": {"targetModules": ["a", "b"]}},
}


def test_the_job_wins_over_the_preset_field_by_field():
    resolution = resolve(VALUES, {"training": {"epochs": 1}, "model": {"id": "org/model"}})
    assert resolution.spec == {
        "training": {"epochs": 1, "schedule": {"warmupRatio": 0.1}},
        "method": {"lora": {"targetModules": ["a", "b"]}},
        "model": {"id": "org/model"},
    }


def test_each_leaf_knows_where_it_came_from():
    assert resolve(VALUES, {"preset": "x", "training": {"epochs": 1}}).origins == {
        "training.epochs": "manifest",
        "training.schedule.warmupRatio": "preset",
        "method.lora.targetModules": "preset",
    }


def test_lists_are_replaced_and_not_joined():
    assert resolve(VALUES, {"method": {"lora": {"targetModules": ["c"]}}}).spec["method"]["lora"][
        "targetModules"
    ] == ["c"]


def test_null_is_the_same_as_absent():
    assert resolve(VALUES, {"training": {"epochs": None}}).spec["training"]["epochs"] == 3


def test_neither_the_preset_nor_the_job_is_changed():
    job = {"training": {"epochs": 1}}
    resolve(VALUES, job).spec["training"]["schedule"]["warmupRatio"] = 9
    assert VALUES["training"]["schedule"] == {"warmupRatio": 0.1}
    assert job == {"training": {"epochs": 1}}


@pytest.mark.parametrize(
    ("preset", "job", "resolved"),
    [
        ({"model": {"id": "a", "revision": "r"}}, {"model": {"path": "/m"}}, {"model": {"path": "/m"}}),
        ({"training": {"maxSteps": 9}}, {"training": {"epochs": 1}}, {"training": {"epochs": 1}}),
        ({"training": {"epochs": 9}}, {"training": {"maxSteps": 1}}, {"training": {"maxSteps": 1}}),
        (
            {"dataset": {"train": {"hub": {"id": "a"}}}},
            {"dataset": {"train": {"path": "/d"}}},
            {"dataset": {"train": {"path": "/d"}}},
        ),
        ({"model": {"id": "a"}}, {"model": {"revision": "r"}}, {"model": {"id": "a", "revision": "r"}}),
    ],
)
def test_a_choice_of_the_job_drops_the_alternatives_of_the_preset(preset, job, resolved):
    assert resolve(preset, job).spec == resolved


def test_every_alternative_is_a_field_of_the_api():
    for section, groups in ALTERNATIVES:
        model = model_at(FineTuneJobSpec, section.split("."))
        assert model is not None, section
        for field in (field for group in groups for field in group):
            assert field_named(model, field) is not None, f"{section}.{field}"


def test_leaves_are_paths_of_values():
    found = leaves({"a": {"b": 1, "c": {}}, "d": [1], "e": None})
    assert dict(found) == {"a.b": 1, "a.c": {}, "d": [1]}
