import pytest

QUANTIZATION = ("error", "QuantizationConflict", "quantization.type")
LORA = "method.lora"


@pytest.mark.parametrize("kind", ["lora", "dora", "pissa", "rslora"])
def test_adapters_on_a_whole_base_are_accepted(brief, kind):
    assert brief({"method.type": kind}) == []


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_qlora_on_a_base_that_is_not_in_4_bit_is_warned_about(brief, quantization):
    assert brief({"method.type": "qlora", "quantization.type": quantization}) == [
        ("warning", "QloraWithoutQuantization", "quantization.type")
    ]


@pytest.mark.parametrize("quantization", ["int4", "nf4", "fp4"])
def test_qlora_on_a_4_bit_base_is_accepted(brief, quantization):
    assert brief({"method.type": "qlora", "quantization.type": quantization}) == []


@pytest.mark.parametrize("quantization", ["int8", "int4", "nf4", "fp4"])
def test_dora_on_a_quantized_base_is_refused_unless_allowed(brief, quantization):
    changes = {"method.type": "dora", "quantization.type": quantization}
    assert brief(changes) == [QUANTIZATION]
    assert brief(changes | {"quantization.allowDora": True}) == []


@pytest.mark.parametrize("kind", ["full", "freeze", "spectrum"])
def test_quantized_weights_cannot_be_trained(brief, kind):
    assert brief({"method.type": kind, "quantization.type": "nf4"}) == [QUANTIZATION]


def test_all_linear_stands_alone(brief):
    changes = {f"{LORA}.targetModules": ["all-linear", "q_proj"]}
    assert brief(changes) == [("error", "Conflict", f"{LORA}.targetModules")]


def test_a_target_pattern_is_a_regular_expression(brief):
    assert brief({f"{LORA}.targetPattern": "(q|v"}) == [("error", "InvalidPattern", f"{LORA}.targetPattern")]
    assert brief({f"{LORA}.targetPattern": r".*\.(q|v)_proj"}) == []


def test_a_layers_pattern_needs_layers(brief):
    assert brief({f"{LORA}.layersPattern": "h"}) == [("error", "Requires", f"{LORA}.layersPattern")]
    assert brief({f"{LORA}.layersPattern": "h", f"{LORA}.layersToTransform": [0]}) == []


def test_a_rate_for_embeddings_needs_lora_plus(brief):
    path = f"{LORA}.embeddingLearningRate"
    assert brief({path: 1e-6}) == [("error", "Requires", path)]
    assert brief({path: 1e-6, f"{LORA}.learningRateRatio": 16}) == []


@pytest.mark.parametrize("kind", ["freeze", "spectrum"])
def test_settings_of_another_method_are_refused_rather_than_ignored(brief, kind):
    assert brief({f"method.{kind}": {}}) == [("error", "Conflict", f"method.{kind}")]
    assert brief({f"method.{kind}": {}, "method.type": kind}) == []


@pytest.mark.parametrize("kind", ["freeze", "spectrum"])
def test_module_patterns_are_regular_expressions(brief, kind):
    changes = {f"method.{kind}.modulePatterns": ["mlp", "["], "method.type": kind}
    assert brief(changes) == [("error", "InvalidPattern", f"method.{kind}.modulePatterns[1]")]
