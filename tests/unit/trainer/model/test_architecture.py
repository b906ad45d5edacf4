"""A model that the catalog does not know is judged by its configuration, in the validator's words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import small_models
from finetune_api import ResolvedJob, validate_job
from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_api.model import ModelSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.model.architecture import architecture_in, refuse_unreached

MakeJob = Callable[..., ResolvedJob]


@pytest.mark.parametrize("family", ["gpt2", "mixtral", "gemma3", "qwen3_moe"])
def test_a_configuration_says_all_that_the_catalog_would(family: str) -> None:
    named = small_models.NAMES.get(family, family)
    model = small_models.model(named, **small_models.OF_FAMILY.get(family, {}))
    found = architecture_in(model.config)
    assert found is not None
    assert found.family == family
    # of shared weights each once
    assert found.parameters == sum(weight.numel() for weight in model.parameters())


def test_a_family_that_the_catalog_does_not_know_is_left_alone(make_job: MakeJob, tmp_path: Path) -> None:
    assert architecture_in(small_models.model("smollm3").config) is None
    refuse_unreached(make_job().spec, str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("model", "id", "spec"),
    [
        ("tiny_gpt2", "openai-community/gpt2", {"quantization": {"type": "int4"}}),
        ("tiny_mixtral", "mistralai/Mixtral-8x7B-v0.1", {"method": {"type": "lora"}}),
        (
            "tiny_mixtral",
            "mistralai/Mixtral-8x7B-v0.1",
            {"method": {"type": "dora", "lora": {"dropout": 0.0}}},
        ),
    ],
    ids=["int4-gpt2", "dropout-mixtral", "dora-mixtral"],
)
def test_what_does_not_reach_its_layers_is_refused_as_validation_refuses_it(
    make_job: MakeJob, request: pytest.FixtureRequest, model: str, id: str, spec: dict[str, Any]
) -> None:
    place = str(request.getfixturevalue(model))
    job = make_job({"method": {"type": "lora"}} | spec | {"model": {"path": place}})
    known = job.spec.model_copy(update={"model": ModelSpec(id=id)})
    findings = validate_job(FineTuneJob(metadata=ObjectMeta(name="tiny"), spec=known), "local")
    [refusal] = [str(each) for each in findings if each.severity == "error"]
    with pytest.raises(InvalidConfigError) as caught:
        refuse_unreached(job.spec, place)
    assert str(caught.value) == refusal
