import pytest

GPT2 = {"model.id": "openai-community/gpt2", "training.maxSequenceLength": 512}
MIXTRAL = {"model.id": "mistralai/Mixtral-8x7B-v0.1"}
RATE = {"training.learningRate": 1e-5}


@pytest.mark.parametrize(
    ("kind", "possible"), [("none", True), ("nf4", True), ("int8", True), ("int4", False)]
)
def test_quanto_does_not_know_the_layers_of_gpt2(brief, kind, possible):
    found = brief(GPT2 | {"quantization.type": kind})
    assert found == ([] if possible else [("error", "QuantizationConflict", "quantization.type")])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"method.lora.dropout": 0.05}, "method.lora.dropout"),
        ({"method.type": "dora"}, "method.type"),
        ({"method.type": "pissa"}, "method.lora.initialization"),
        ({"method.lora.initialization": "orthogonal"}, "method.lora.initialization"),
    ],
)
def test_experts_in_one_parameter_have_the_plainest_of_adapters(brief, changes, field):
    changes = MIXTRAL | {"method.lora.dropout": 0.0} | changes
    assert brief(changes) == [("error", "Conflict", field)]
    assert brief(changes | {"method.lora.targetModules": ["q_proj", "v_proj"]}) == []
    assert brief(MIXTRAL | {"method.lora.dropout": 0.0}) == []


def test_experts_in_one_parameter_are_not_quantized(check):
    found, *_ = check(MIXTRAL | {"quantization.type": "nf4", "method.lora.dropout": 0.0})
    assert (found.severity, found.code, found.path) == ("warning", "UnreachedExperts", "quantization.type")
    assert "3% of the weights are quantized" in found.message


def test_spectrum_and_galore_look_at_matrices(brief):
    assert brief(MIXTRAL | RATE | {"method.type": "spectrum"}) == [
        ("warning", "UnreachedExperts", "method.type")
    ]
    for optimizer in ("galoreAdamw", "galoreAdafactor"):
        found = brief(MIXTRAL | RATE | {"method.type": "full", "training.optimizer": optimizer})
        assert found == [("error", "OptimizerConflict", "training.optimizer")]
