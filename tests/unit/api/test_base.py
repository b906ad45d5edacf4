from typing import get_args

import pytest
from pydantic import ValidationError

from finetune_api.base import ApiModel
from finetune_api.status import CheckpointRef
from finetune_api.storage import StorageSpec
from finetune_api.training import TrainingSpec


def test_json_has_camel_case_and_python_snake_case():
    spec = TrainingSpec(micro_batch_size=2)
    assert spec.to_json_object()["microBatchSize"] == 2
    assert TrainingSpec.from_json_object({"microBatchSize": 2}) == spec


def test_snake_case_in_json_is_refused_as_the_api_server_does():
    with pytest.raises(ValidationError):
        TrainingSpec.from_json_object({"micro_batch_size": 2})


def test_a_null_is_the_same_as_an_absent_field():
    assert TrainingSpec.from_json_object({"epochs": None, "maxSteps": None}) == TrainingSpec()


@pytest.mark.parametrize("name", ["unknown", "micro_batch_size"])
def test_a_null_in_a_field_that_is_not_there_is_refused_as_the_api_server_does(name):
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrainingSpec.from_json_object({name: None})


@pytest.mark.parametrize(("written", "text"), [(0, "0"), (3.0, "3"), (2**53, f"{2**53}"), ("8Gi", "8Gi")])
def test_a_quantity_is_text_or_a_whole_number(written, text):
    assert StorageSpec.from_json_object({"size": written}).size == text


@pytest.mark.parametrize("written", [-1, -1.0, 2**53 + 1, 1e308, 0.5, True, "-1", "8 Gi"])
def test_no_other_quantity_is_taken(written):
    with pytest.raises(ValidationError):
        StorageSpec.from_json_object({"size": written})


def test_a_model_cannot_be_changed():
    with pytest.raises(ValidationError):
        TrainingSpec().epochs = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("value", ["3", True, 3.5])
def test_only_an_integer_is_an_integer(value):
    with pytest.raises(ValidationError):
        TrainingSpec.from_json_object({"microBatchSize": value})


def test_an_integral_float_is_an_integer_as_in_json():
    assert TrainingSpec.from_json_object({"microBatchSize": 3.0}).micro_batch_size == 3


def models(root: type[ApiModel]) -> set[type[ApiModel]]:
    return {root}.union(*(models(child) for child in root.__subclasses__()))


@pytest.mark.parametrize("model", sorted(models(ApiModel), key=lambda model: model.__name__))
def test_every_field_has_a_description_that_kubectl_explain_can_print(model):
    bare = [name for name, field in model.model_fields.items() if not (field.description or "").strip()]
    assert bare == []


@pytest.mark.parametrize("model", sorted(models(ApiModel), key=lambda model: model.__name__))
def test_a_field_that_may_be_absent_is_absent_by_default(model):
    wrong = [
        name
        for name, field in model.model_fields.items()
        if type(None) in get_args(field.annotation)
        and not field.is_required()
        and field.get_default() is not None
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "2026-01-02T03:04:05Z", "9999-12-31T23:59:59Z"])
def test_a_time_is_written_as_the_api_server_reads_it(text):
    checkpoint = CheckpointRef.from_json_object({"step": 1, "path": "x", "time": text})
    assert checkpoint.to_json_object()["time"] == text
