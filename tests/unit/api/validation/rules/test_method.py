import pytest

LORA = "method.lora"
FORMATS = {"pretrain": "text", "sft": "alpaca", "kto": "messages"}


@pytest.mark.parametrize("kind", ["lora", "dora", "pissa", "rslora"])
def test_adapters_on_a_whole_base_are_accepted(brief, kind):
    assert brief({"method.type": kind}) == []


def test_pissa_starts_as_pissa(brief):
    path = f"{LORA}.initialization"
    assert brief({"method.type": "pissa", path: "gaussian"}) == [("error", "Conflict", path)]
    assert brief({"method.type": "pissa", path: "pissa"}) == []


@pytest.mark.parametrize("start", ["pissa", "olora", "loftq"])
def test_a_dora_cannot_start_as_a_part_of_the_base(brief, start):
    changes = {"method.type": "dora", f"{LORA}.initialization": start, "quantization.allowDora": True}
    changes |= {"quantization.type": "nf4"}
    assert brief(changes) == [("error", "Conflict", f"{LORA}.initialization")]


@pytest.mark.parametrize(
    ("quantization", "works"), [("none", False), ("int8", False), ("int4", False), ("nf4", True)]
)
def test_loftq_is_for_4_bit_floats(brief, quantization, works):
    path = f"{LORA}.initialization"
    found = brief({path: "loftq", "quantization.type": quantization})
    assert found == ([] if works else [("error", "Requires", path)])


def test_orthogonal_adapters_have_an_even_rank(brief):
    path = f"{LORA}.initialization"
    assert brief({path: "orthogonal"}) == []
    assert brief({path: "orthogonal", f"{LORA}.rank": 7, f"{LORA}.alpha": 8.0}) == [
        ("error", "Conflict", path)
    ]
    assert brief({path: "orthogonal", "quantization.type": "nf4"}) == []


def test_lora_plus_is_about_adapters(brief):
    path = f"{LORA}.learningRateRatio"
    assert brief({path: 16.0}) == []
    changes = {path: 16.0, "method.type": "full", "training.learningRate": 1e-5}
    assert brief(changes) == [("error", "Conflict", path)]


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
    named = {f"{LORA}.layersToTransform": [0], f"{LORA}.targetModules": ["c_attn"]}
    assert brief({f"{LORA}.layersPattern": "h"} | named) == []


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
    assert brief(layers | {f"{LORA}.targetModules": ["q_proj"]}) == []
    # PEFT chooses layers among names alone
    assert brief(layers) == [("error", "Conflict", f"{LORA}.layersToTransform")]
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
    found = [each for each in brief({"method.type": kind} | settings) if each[1] != "WithoutEffect"]
    assert found == ([("suggestion", "HighAdapterScale", f"{LORA}.alpha")] if high else [])


@pytest.mark.parametrize(("stage", "works"), [("pretrain", True), ("sft", True), ("kto", False)])
def test_eva_looks_at_sequences(brief, stage, works):
    path = f"{LORA}.initialization"
    changes = {path: "eva", "training.stage": stage, "dataset.format": FORMATS[stage]}
    changes["training.microBatchSize"] = 2
    assert brief(changes) == ([] if works else [("error", "Conflict", path)])
