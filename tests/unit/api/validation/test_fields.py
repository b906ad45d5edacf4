import pytest

from finetune_api import FineTuneJob, FineTuneJobSpec
from finetune_api.kubernetes import EnvVar
from finetune_api.validation.fields import default_at, model_at, plain, value_at, walk


def test_a_model_is_found_by_the_names_of_a_manifest():
    assert model_at(FineTuneJob, ["spec", "resources", "env", 0]) is EnvVar
    assert model_at(FineTuneJob, ["spec", "nothing", "env"]) is None


def test_a_value_is_found_by_its_path(make_job):
    job = make_job({"training.maxSteps": 7})
    assert value_at(job.spec, "training.maxSteps") == 7
    assert value_at(job.spec, "dataset.eval.hub") is None


def test_a_default_is_found_by_its_path():
    assert default_at(FineTuneJobSpec, "method.lora.targetModules") == ["all-linear"]


@pytest.mark.parametrize("path", ["training.nothing", "nothing"])
def test_a_path_that_no_model_has_is_a_mistake_of_ours(make_job, path):
    with pytest.raises(KeyError):
        value_at(make_job().spec, path)
    with pytest.raises(KeyError):
        default_at(FineTuneJobSpec, path)


def test_walking_visits_every_model_below(make_job):
    job = make_job({"resources.env": [{"name": "A"}]})
    paths = [path for path, _ in walk(job.spec)]
    assert "training.schedule" in paths
    assert "resources.env[0]" in paths


def test_a_section_is_shown_as_json(make_job):
    assert plain(make_job().spec.dataset.train) == {"pvc": {"claimName": "data", "path": "train.jsonl"}}
