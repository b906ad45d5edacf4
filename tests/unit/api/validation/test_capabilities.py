from typing import get_args

import pytest
from pydantic import TypeAdapter

from finetune_api import FineTuneJobSpec, parse_job, validate_job
from finetune_api.validation.capabilities import LEFT_OUT, LIMITS
from finetune_api.validation.fields import default_at, field_named, model_at


def refused(manifest):
    return [found for found in validate_job(parse_job(manifest)) if found.code == "NotYetSupported"]


def test_the_defaults_are_all_supported(make_manifest):
    assert refused(make_manifest()) == []


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.path)
def test_every_limit_names_a_field_and_values_that_it_can_have(limit):
    *parents, name = limit.path.split(".")
    model = model_at(FineTuneJobSpec, parents)
    field = field_named(model, name)
    default = default_at(FineTuneJobSpec, limit.path)
    assert field is not None
    if limit.values is not None:
        assert default is None or default in limit.values
        adapter = TypeAdapter(field.annotation)
        for value in limit.values:
            adapter.validate_python(value)


@pytest.mark.parametrize(
    "path", [limit.path for limit in LIMITS if isinstance(default_at(FineTuneJobSpec, limit.path), str)]
)
def test_every_other_choice_is_refused_with_a_remedy(make_manifest, path):
    limit = next(limit for limit in LIMITS if limit.path == path)
    *parents, name = path.split(".")
    field = field_named(model_at(FineTuneJobSpec, parents), name)
    possible = limit.values or (default_at(FineTuneJobSpec, path),)
    others = [choice for choice in get_args(field.annotation) if choice not in possible]
    base = {"model.config": {}, "model.id": None} if path.startswith("model.config") else {}
    assert others
    for choice in others:
        [finding] = refused(make_manifest({**base, path: choice}))
        assert (finding.severity, finding.path, finding.value) == ("error", path, choice)
        assert finding.remedy


@pytest.mark.parametrize(("optimizer", "why"), LEFT_OUT.items())
def test_an_optimizer_that_is_left_out_is_refused_with_its_own_reason(make_manifest, optimizer, why):
    [finding] = refused(make_manifest({"training.optimizer": optimizer}))
    assert finding.message == why


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("dataset.train", {"upload": {"id": "mine"}}),
        ("budget.maxCostUSD", 5),
    ],
)
def test_what_comes_later_is_refused_rather_than_ignored(make_manifest, path, value):
    [finding] = refused(make_manifest({path: value}))
    assert finding.path.startswith(path)
    assert "can't do it yet" in finding.message
