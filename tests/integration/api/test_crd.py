"""The CRD as a real API server takes it: accepted, explained, filled in, shown."""

import json

import pytest

from finetune_api import parse_job

JOBS = "crd/finetunejobs.finetune.dev"


def test_the_schema_is_structural_and_served(api):
    conditions = json.loads(api.kubectl("get", JOBS, "-o", "json"))["status"]["conditions"]
    found = {condition["type"]: condition["status"] for condition in conditions}
    assert found["Established"] == "True"
    assert found["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in found


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("ftj", "FineTuneJob fine-tunes a language model"),
        ("ftj.spec.training.microBatchSize", "Sequences per rank in one forward pass"),
        ("ftj.spec.dataset.train.pvc.claimName", "mounted read-only"),
        ("ftj.status.attempts.resumedStep", "Step of the checkpoint"),
        ("finetunepreset.spec.values.training.learningRate", "Peak learning rate"),
    ],
)
def test_kubectl_explains_every_field(api, field, text):
    assert text in " ".join(api.kubectl("explain", field).split())


def test_kubectl_explains_defaults_and_choices(api):
    explained = api.kubectl("explain", "ftj.spec.method.type")
    assert "the layers with the most signal. Default: lora." in " ".join(explained.split())
    assert "ENUM:\n    full\n    freeze\n    lora\n    qlora\n" in explained


def test_kubectl_lists_the_whole_tree(api):
    tree = api.kubectl("explain", "ftj", "--recursive")
    for field in ("microBatchSize", "zeroStage", "secretKeyRef", "lastTransitionTime"):
        assert field in tree


def test_the_api_server_fills_in_the_defaults_of_the_models(api, manifest):
    wanted = manifest("defaults")
    stored = api.create(wanted)["spec"]
    assert parse_job(wanted | {"spec": stored}).spec == parse_job(wanted).spec
    assert stored["training"]["schedule"] == {
        "cycles": 1,
        "factor": 0.1,
        "minLearningRateRatio": 0,
        "patience": 10,
        "power": 1,
        "startLearningRateRatio": 0,
        "type": "cosine",
        "warmupRatio": 0.03,
    }


def test_a_new_job_is_not_yet_observed(api, manifest):
    assert api.create(manifest("fresh"))["status"] == {"observedGeneration": -1}


def test_a_user_cannot_write_the_status_by_creating(api, manifest):
    stored = api.create(manifest("forged") | {"status": {"phase": "Succeeded", "observedGeneration": 1}})
    assert stored["status"] == {"observedGeneration": -1}


def test_short_name_and_categories_work(api, manifest):
    api.create(manifest("listed"))
    assert "listed" in api.kubectl("get", "ftj", "-o", "name")
    assert "finetunejob.finetune.dev/listed" in api.kubectl("get", "ml", "-o", "name")
    assert "finetunejob.finetune.dev/listed" in api.kubectl("get", "all", "-o", "name")


def test_people_see_what_they_ask_for(api, manifest):
    api.create(manifest("seen"))
    api.patch(
        "seen",
        {
            "status": {
                "observedGeneration": 1,
                "phase": "Running",
                "attempt": 2,
                "progress": {"step": 40, "percent": 40, "remaining": "1h20m"},
                "metrics": {"loss": "1.83"},
            }
        },
        status=True,
    )
    header, row = api.kubectl("get", "ftj", "seen").splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "LOSS", "TIME", "LEFT", "ATTEMPT", "AGE"]
    assert row.split()[:6] == ["seen", "Running", "40", "1.83", "1h20m", "2"]


def test_wide_output_shows_model_and_method(api, manifest):
    api.create(manifest("wide"))
    row = api.kubectl("get", "ftj", "wide", "-o", "wide")
    assert "organisation/model" in row
    assert "lora" in row


def test_two_managers_can_own_variables_of_their_own_by_server_side_apply(api, manifest):
    for manager in ("A", "B"):
        job = manifest("applied", resources={"env": [{"name": manager, "value": "1"}]})
        api.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", manifest=job)
    stored = json.loads(api.kubectl("get", "ftj", "applied", "-o", "json"))
    assert {variable["name"] for variable in stored["spec"]["resources"]["env"]} == {"A", "B"}


def test_a_raw_deepspeed_configuration_is_kept_as_it_is(api, manifest):
    raw = {"zero_optimization": {"overlap_comm": True, "reduce_bucket_size": 5e8}, "x": [1, {"y": "z"}]}
    stored = api.create(manifest("raw", distributed={"deepspeedConfig": raw}))
    assert stored["spec"]["distributed"]["deepspeedConfig"] == raw


def test_a_preset_holds_a_part_of_a_spec_and_fills_in_nothing(api):
    values = {"training": {"learningRate": 0.0001}, "dataset": {"format": "messages"}}
    preset = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTunePreset",
        "metadata": {"name": "chat"},
        "spec": {"title": "Chat", "values": values},
    }
    assert api.create(preset)["spec"]["values"] == values
