"""Every built-in preset makes a valid job of a minimal one."""

import pytest

from finetune_api import check_manifest
from finetune_api.presets import builtin_preset, builtin_presets, resolve
from finetune_api.presets.builtin import builtin_names
from finetune_api.presets.merge import leaves

USE_CASES = {"chat", "instruct", "classification", "continued-pretraining", "preference-tuning"}
DOCUMENTS = {
    "wizard": {"wizard-lora"},
    "framework": {"framework-qlora", "qlora-16gb", "spectrum-targeted", "full-multi-gpu"},
    "LoRA service": {"lora-csv"},
    "LlamaFarm": {
        "farm-lora",
        "farm-qlora",
        "farm-llamafactory",
        "low-memory",
        "high-throughput",
        "nvidia-gpu",
        "apple-silicon",
        "cpu-only",
    },
    "training engine": {
        "engine-quickstart",
        "engine-accumulation",
        "engine-tracked",
        "engine-stable",
        "engine-small",
        "engine-medium",
        "engine-large",
        "gpt2-small",
        "gpt2-medium",
        "gpt2-large",
        "gpt2-xl",
    },
}


def test_each_template_of_the_documents_and_each_use_case_has_its_preset():
    assert set(builtin_names()) == USE_CASES.union(*DOCUMENTS.values())


@pytest.mark.parametrize("name", builtin_names())
def test_a_minimal_job_with_it_is_valid(name):
    minimal = {"model": {"id": "org/model"}, "dataset": {"train": {"path": "/data/train.jsonl"}}}
    preset = builtin_preset(name)
    assert preset is not None
    if "config" in preset.values.get("model", {}):
        del minimal["model"]
    spec = resolve(preset.values, minimal).spec
    _, findings = check_manifest(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "job"},
            "spec": spec,
        }
    )
    refused = [found for found in findings if found.severity == "error" and found.code != "NotYetSupported"]
    assert refused == []


@pytest.mark.parametrize("preset", builtin_presets(), ids=lambda preset: preset.name)
def test_it_says_what_it_is_for_and_sets_something(preset):
    assert preset.name
    assert preset.title
    assert preset.description.endswith(".")
    assert list(leaves(preset.values))


def test_an_unknown_name_is_no_preset():
    assert builtin_preset("../chat") is None
    assert builtin_preset("chatt") is None
