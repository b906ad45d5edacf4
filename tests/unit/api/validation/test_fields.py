import pytest

from finetune_api import FineTuneJob, FineTuneJobSpec
from finetune_api.kubernetes import EnvVar
from finetune_api.validation.fields import chosen, default_at, model_at, plain, value_at, walk


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


def test_what_was_chosen_leaves_out_every_default_and_the_sections_of_nothing_but_defaults(make_job):
    job = make_job({"training.schedule.warmupRatio": 0.1, "resources.env": [{"name": "A"}]})
    assert chosen(job.spec) == {
        "model": {"id": "organisation/model"},
        "dataset": {"train": {"pvc": {"claimName": "data", "path": "train.jsonl"}}},
        "training": {"schedule": {"warmupRatio": 0.1}},
        "resources": {"env": [{"name": "A"}]},
    }
    assert "resources" not in chosen(job.spec, exclude={"resources"})


def test_what_was_chosen_keeps_an_optional_section_that_is_there_with_its_defaults(make_job):
    job = make_job({"training.stage": "dpo", "training.dpo": {}})
    assert chosen(job.spec)["training"] == {"stage": "dpo", "dpo": {}}
