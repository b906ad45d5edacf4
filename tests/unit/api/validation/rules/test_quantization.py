import pytest

from finetune_api import validate_job

QUANTIZATION = ("error", "QuantizationConflict", "quantization.type")
ZERO3 = ("warning", "QuantizedZero3", "distributed.zeroStage")


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_qlora_on_a_base_that_is_not_in_4_bit_is_warned_about(brief, quantization):
    assert brief({"method.type": "qlora", "quantization.type": quantization}) == [
        ("warning", "QloraWithoutQuantization", "quantization.type")
    ]


@pytest.mark.parametrize("quantization", ["int4", "nf4", "fp4"])
def test_qlora_on_a_4_bit_base_is_accepted(brief, quantization):
    assert brief({"method.type": "qlora", "quantization.type": quantization}) == []


@pytest.mark.parametrize("quantization", ["int8", "nf4", "fp4"])
def test_dora_on_a_quantized_base_is_refused_unless_allowed(brief, quantization):
    changes = {"method.type": "dora", "quantization.type": quantization}
    assert brief(changes) == [QUANTIZATION]
    gpu = {"resources.accelerators.perNode": 1}
    assert brief(changes | gpu | {"quantization.allowDora": True}) == []


@pytest.mark.parametrize("quantization", ["int8", "int4", "nf4", "fp4"])
def test_dora_runs_on_every_quantized_base_where_it_is_allowed(brief, quantization):
    assert brief({"method.type": "dora", "quantization": {"type": quantization, "allowDora": True}}) == []


@pytest.mark.parametrize("kind", ["full", "freeze", "spectrum"])
def test_quantized_weights_cannot_be_trained(brief, kind):
    changes = {"method.type": kind, "quantization.type": "nf4", "training.learningRate": 1e-5}
    assert brief(changes) == [QUANTIZATION]


@pytest.mark.parametrize("quantization", ["int8", "int4", "nf4", "fp4"])
def test_pissa_is_computed_before_the_base_is_quantized(brief, quantization):
    assert brief({"method.type": "pissa", "quantization.type": quantization}) == []


def test_a_quantized_base_under_zero_3_is_stored_in_a_float_type(brief):
    changes = {"method.type": "qlora", "quantization.type": "nf4", "distributed.zeroStage": 3}
    assert brief(changes) == [ZERO3]
    changes |= {"quantization.storageType": "uint8"}
    assert brief(changes) == [("error", "Requires", "quantization.storageType"), ZERO3]
    assert brief(changes | {"distributed.zeroStage": 2}) == []


def test_zero_3_cannot_share_out_integers(brief):
    changes = {"method.type": "lora", "quantization.type": "int8", "distributed.zeroStage": 3}
    assert brief(changes) == [QUANTIZATION]
    assert brief(changes | {"distributed.zeroStage": 2}) == []


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_cannot_move_the_integers_of_quanto(brief, stage):
    changes = {"method.type": "lora", "quantization.type": "int4"}
    assert brief(changes | {"distributed.zeroStage": stage}) == [QUANTIZATION]
    assert brief(changes | {"distributed.processesPerNode": 2}) == [QUANTIZATION]
    assert brief(changes | {"distributed.processesPerNode": 2, "distributed.engine": "torch"}) == []


@pytest.mark.parametrize(("stage", "works"), [(2, True), (3, False)])
def test_zero_3_does_not_see_what_dora_unpacks(brief, stage, works):
    changes = {"method.type": "dora", "quantization": {"type": "nf4", "allowDora": True}}
    found = brief(changes | {"distributed.zeroStage": stage})
    assert found == ([] if works else [QUANTIZATION, ZERO3])
    assert brief({"method.type": "dora", "distributed.zeroStage": 3}) == []


@pytest.mark.parametrize("field", ["computeType", "storageType"])
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_integers_have_no_compute_or_storage_type(brief, quantization, field):
    changes = {"quantization.type": quantization, f"quantization.{field}": "bf16"}
    assert brief(changes) == [("error", "Conflict", f"quantization.{field}")]


@pytest.mark.parametrize(("precision", "works"), [("bf16", True), ("fp32", False), ("auto", False)])
def test_packed_bits_are_held_in_the_type_that_deepspeed_casts_to(brief, precision, works):
    changes = {
        "quantization.type": "nf4",
        "quantization.storageType": "bf16",
        "training.precision": precision,
    }
    assert brief(changes) == []
    found = brief(changes | {"distributed.zeroStage": 2})
    assert found == ([] if works else [("error", "Conflict", "quantization.storageType")])


@pytest.mark.parametrize(
    ("precision", "gpus"), [("auto", 0), ("bf16", 0), ("auto", 1), ("fp16", 1), ("tf32", 1)]
)
def test_quanto_computes_in_every_precision(make_job, precision, gpus):
    changes = {"quantization.type": "int4", "training.precision": precision}
    job = make_job(changes | {"resources.accelerators.perNode": gpus})
    assert [found for found in validate_job(job) if found.severity == "error"] == []


def test_the_constants_of_quanto_are_not_held_in_fp16(brief):
    changes = {"quantization.type": "int4", "model.loadPrecision": "fp16"}
    assert brief(changes) == [("error", "QuantizationConflict", "model.loadPrecision")]
