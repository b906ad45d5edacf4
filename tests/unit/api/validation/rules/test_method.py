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
    gpu = {"resources.accelerators.perNode": 1}
    assert brief(changes | gpu | {"quantization.allowDora": True}) == []


@pytest.mark.parametrize(("quantization", "works"), [("int8", False), ("nf4", True)])
def test_dora_on_an_int8_base_does_not_run_on_the_cpu(brief, quantization, works):
    found = brief({"method.type": "dora", "quantization": {"type": quantization, "allowDora": True}})
    assert found == ([] if works else [QUANTIZATION])


@pytest.mark.parametrize("kind", ["full", "freeze", "spectrum"])
def test_quantized_weights_cannot_be_trained(brief, kind):
    changes = {"method.type": kind, "quantization.type": "nf4", "training.learningRate": 1e-5}
    assert brief(changes) == [QUANTIZATION]


def test_pissa_needs_whole_weights(brief):
    nf4 = {"quantization.type": "nf4"}
    assert brief(nf4 | {"method.type": "pissa"}) == [("error", "QuantizationConflict", "method.type")]
    for start in ("pissa", "loftq"):
        found = brief(nf4 | {f"{LORA}.initialization": start})
        assert found == [("error", "QuantizationConflict", f"{LORA}.initialization")]
    assert brief(nf4 | {f"{LORA}.initialization": "olora"}) == []


def test_pissa_starts_as_pissa(brief):
    path = f"{LORA}.initialization"
    assert brief({"method.type": "pissa", path: "gaussian"}) == [("error", "Conflict", path)]
    assert brief({"method.type": "pissa", path: "pissa"}) == []


def test_a_quantized_base_under_zero_3_is_stored_in_a_float_type(brief):
    warned = ("warning", "QuantizedZero3", "distributed.zeroStage")
    changes = {"method.type": "qlora", "quantization.type": "nf4", "distributed.zeroStage": 3}
    assert brief(changes) == [warned]
    changes |= {"quantization.storageType": "uint8"}
    assert brief(changes) == [("error", "Requires", "quantization.storageType"), warned]
    assert brief(changes | {"distributed.zeroStage": 2}) == []


def test_zero_3_has_no_way_to_share_out_int8(brief):
    changes = {"quantization.type": "int8", "distributed.zeroStage": 3}
    assert brief(changes) == [("error", "QuantizationConflict", "quantization.type")]
    assert brief(changes | {"distributed.zeroStage": 2}) == []


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


def test_layers_are_chosen_by_index_or_by_pattern(brief):
    layers = {f"{LORA}.layersToTransform": [0, 1]}
    assert brief(layers) == []
    found = brief(layers | {f"{LORA}.targetPattern": "q_proj"})
    assert found == [("error", "Conflict", f"{LORA}.layersToTransform")]


@pytest.mark.parametrize(
    ("kind", "rank", "alpha", "high"),
    [
        ("lora", 16, 32, False),
        ("lora", 1, 16, False),
        ("lora", 1, 16.5, True),
        ("rslora", 64, 128, False),
        ("rslora", 64, 129, True),
        ("full", 1, 1000, False),
    ],
)
def test_an_adapter_is_not_scaled_up_too_far(brief, kind, rank, alpha, high):
    settings = {f"{LORA}.rank": rank, f"{LORA}.alpha": alpha, "training.learningRate": 1e-5}
    found = brief({"method.type": kind} | settings)
    assert found == ([("suggestion", "HighAdapterScale", f"{LORA}.alpha")] if high else [])
