"""The catalog: counts that follow from the architectures, and ids that are found."""

import pytest

from finetune_api.catalog import MODELS, architecture_of, find_model
from finetune_api.model import ModelSpec

LORA_SERVICE = ["Llama 2 7B", "Llama 2 13B", "Mistral 7B v0.3", "Phi-2", "Gemma 7B", "TinyLlama 1.1B"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_the_published_parameter_count_follows_from_the_architecture(model):
    assert model.architecture.parameters == model.published


def test_the_models_of_the_lora_service_come_first():
    assert [model.name for model in MODELS[:6]] == LORA_SERVICE


def test_every_id_and_alias_is_there_once():
    ids = [id.lower() for model in MODELS for id in (model.id, *model.aliases)]
    assert len(ids) == len(set(ids))


def test_a_model_is_found_by_an_alias_in_any_case():
    assert find_model("META-LLAMA/llama-3.1-8b").name == "Llama 3.1 8B"
    assert find_model("nobody/nothing") is None


@pytest.mark.parametrize(
    ("id", "modules"),
    [
        ("meta-llama/Llama-3.1-8B", "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"),
        ("microsoft/phi-2", "q_proj k_proj v_proj dense fc1 fc2"),
        ("microsoft/phi-4", "qkv_proj o_proj gate_up_proj down_proj"),
        ("gpt2", "c_attn c_proj c_fc"),
        ("mistralai/Mixtral-8x7B-v0.1", "q_proj k_proj v_proj o_proj"),
    ],
)
def test_target_modules_are_the_linear_layers_that_adapters_reach(id, modules):
    assert find_model(id).target_modules == tuple(modules.split())


def test_only_the_experts_that_a_token_visits_count_as_work():
    mixtral = find_model("mistralai/Mixtral-8x7B-v0.1").architecture
    assert mixtral.matmul_parameters == pytest.approx(12.75e9, rel=0.01)
    assert mixtral.parameters == pytest.approx(46.7e9, rel=0.01)


def test_a_model_from_scratch_has_an_architecture_of_the_same_kind():
    spec = ModelSpec.from_json_object(
        {"config": {"hiddenSize": 2048, "layers": 22, "attentionHeads": 32, "keyValueHeads": 4,
                    "intermediateSize": 5632, "vocabSize": 32000, "tieWordEmbeddings": False}}
    )  # fmt: skip
    assert architecture_of(spec).parameters == find_model("TinyLlama/TinyLlama-1.1B-Chat-v1.0").published


def test_the_vocabulary_of_a_model_from_scratch_is_that_of_its_tokenizer():
    spec = ModelSpec.from_json_object({"config": {}, "tokenizer": {"train": {"vocabSize": 4096}}})
    assert architecture_of(spec).vocabulary == 4096


@pytest.mark.parametrize("spec", [{"id": "nobody/nothing"}, {"path": "/models/x"}])
def test_other_models_have_no_known_architecture(spec):
    assert architecture_of(ModelSpec.from_json_object(spec)) is None
