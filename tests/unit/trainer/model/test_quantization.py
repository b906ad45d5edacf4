"""Quantized bases: each type is what its name says, and what is left alone is left alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from optimum.quanto import qint4
from optimum.quanto.tensor.weights.qbits import WeightQBitsTensor
from torch._subclasses.fake_tensor import FakeTensorMode

from finetune_api import ResolvedJob
from finetune_api.model import ModelSpec
from finetune_trainer.model.models import load_base, trained_parameters
from finetune_trainer.model.quantization import quantization_config, storage_type
from finetune_trainer.model.quanto import mend_quanto

MakeJob = Callable[..., ResolvedJob]

PROJECTION = "model.layers.0.mlp.up_proj"


def loaded(job: ResolvedJob) -> torch.nn.Module:
    place = str(job.spec.model.path)
    config = quantization_config(job.spec, "fp32", place)
    return load_base(ModelSpec(path=place), place, torch.float32, config)


def quantized(make_job: MakeJob, kind: str, **settings: Any) -> torch.nn.Module:
    return loaded(make_job({"method": {"type": "lora"}, "quantization": {"type": kind, **settings}}))


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_4_bit_floats_are_packed_two_to_a_byte(make_job: MakeJob, kind: str, double: bool) -> None:
    weight: Any = quantized(make_job, kind, doubleQuantization=double).get_submodule(PROJECTION).weight
    assert (weight.dtype, weight.quant_state.quant_type, weight.quant_state.nested) == (
        torch.uint8,
        kind,
        double,
    )
    assert weight.numel() * 2 == 32 * 128


def test_int8_is_a_byte_per_weight(make_job: MakeJob) -> None:
    weight = quantized(make_job, "int8").get_submodule(PROJECTION).weight
    assert isinstance(weight, torch.nn.Parameter)
    assert (weight.dtype, weight.numel()) == (torch.int8, 32 * 128)


def test_int4_is_an_integer_scheme_packed_two_to_a_byte(make_job: MakeJob) -> None:
    weight: Any = quantized(make_job, "int4").get_submodule(PROJECTION).weight
    packed = weight._data._data
    assert (weight.qtype.name, packed.dtype) == ("qint4", torch.uint8)
    assert packed.numel() * 2 == 32 * 128
    # an affine grid of sixteen steps in each group: scale × (integer − shift)
    values = weight.dequantize().reshape(-1, 32)
    assert max(len(row.unique()) for row in values) <= 16
    steps = values[0].unique().diff()
    assert torch.allclose(steps / steps.min(), (steps / steps.min()).round(), atol=1e-3)


@pytest.mark.parametrize("kind", ["nf4", "int8", "int4"])
def test_the_output_embedding_and_skipped_modules_stay_whole(make_job: MakeJob, kind: str) -> None:
    model = quantized(make_job, kind, skipModules=["up_proj"])
    for name in ("lm_head", PROJECTION):
        weight = model.get_submodule(name).weight
        assert type(weight) is torch.nn.Parameter
        assert weight.dtype == torch.float32, name
    assert type(model.get_submodule("model.layers.0.mlp.down_proj").weight) is not torch.nn.Parameter


@pytest.mark.parametrize(
    ("settings", "zero_stage", "expected"),
    [
        ({}, 0, torch.uint8),
        ({}, 2, torch.uint8),
        ({}, 3, torch.bfloat16),
        ({"storageType": "fp16"}, 0, torch.float16),
    ],
)
def test_packed_bits_are_stored_as_bytes_but_under_zero_3(
    make_job: MakeJob, settings: dict[str, str], zero_stage: int, expected: torch.dtype
) -> None:
    quantization = {"type": "nf4", **settings}
    job = make_job({"quantization": quantization, "distributed": {"zeroStage": zero_stage}})
    assert storage_type(job.spec, "bf16") == expected


def test_an_evaluation_leaves_the_packed_weights_as_they_are(make_job: MakeJob) -> None:
    model = quantized(make_job, "nf4")
    weight = model.get_submodule(PROJECTION).weight
    before = torch.as_tensor(weight.data).clone()
    model.eval()
    with torch.no_grad():
        model(input_ids=torch.tensor([[5, 6, 7]]))
    assert torch.equal(weight.data, before)


@pytest.mark.parametrize(
    "settings", [{"type": "nf4"}, {"type": "nf4", "storageType": "fp32"}, {"type": "int4"}]
)
def test_packed_weights_are_counted_one_by_one(make_job: MakeJob, settings: dict[str, str]) -> None:
    whole = trained_parameters(loaded(make_job()))[1]
    assert trained_parameters(quantized(make_job, settings.pop("type"), **settings))[1] == whole


def test_int4_gives_the_gradients_of_its_values_in_16_bit_too(make_job: MakeJob) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        model: Any = quantized(make_job, "int4")
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        gradients.append(model.get_input_embeddings().weight.grad)
    whole, half = gradients
    assert (half - whole).norm() < 0.05 * whole.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_int4_on_a_gpu_needs_no_kernels_that_would_have_to_be_compiled(dtype: torch.dtype) -> None:
    mend_quanto()
    with FakeTensorMode(), torch.device("cuda"):
        weight = WeightQBitsTensor.create(
            qint4,
            0,
            128,
            torch.Size((256, 256)),
            (256, 1),
            torch.zeros((512, 128), dtype=torch.uint8),
            torch.ones((512, 1), dtype=dtype),
            torch.zeros((512, 1), dtype=dtype),
        )
    assert type(weight) is WeightQBitsTensor
    assert weight.device.type == "cuda"
