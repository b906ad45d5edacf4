"""Every device with every method, quantization and ZeRO stage, and odd sizes: finite figures, in order."""

from itertools import product
from math import isfinite

import pytest

from finetune_api import parse_job
from finetune_api.estimate import estimate
from finetune_api.hardware import ACCELERATORS, find_accelerator

METHODS = ("full", "freeze", "lora", "qlora", "dora", "pissa", "rslora", "spectrum")
QUANTIZED = {"qlora": ("nf4", "fp4", "int8"), "lora": ("none", "int8"), "dora": ("none", "nf4")}
LLAMA = {"architecture": "llama", "vocabSize": 32000}


def job_of(spec):
    metadata = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "any"}}
    return parse_job(metadata | {"spec": {"dataset": {"train": {"hub": {"id": "a/b"}}}} | spec})


def check(found):
    figures = [found.memory.range, found.duration_seconds, found.steps.steps, found.cost.energy_kwh]
    figures += [found.cost.carbon_grams, *([found.cost.usd] if found.cost.usd is not None else [])]
    for figure in figures:
        assert isfinite(figure.high)
        assert 0 <= figure.low <= figure.expected <= figure.high
    assert all(size >= 0 for size in found.memory.parts.gib().values())


@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=lambda accelerator: accelerator.name)
def test_every_method_quantization_and_stage_on_this_device(accelerator):
    for method, stage in product(METHODS, range(4)):
        for quantization in QUANTIZED.get(method, ("none",)):
            spec = {
                "model": {"id": "mistralai/Mixtral-8x7B-v0.1" if stage % 2 else "gpt2"},
                "method": {"type": method},
                "quantization": {"type": quantization},
                "distributed": {"zeroStage": stage},
            }
            check(estimate(job_of(spec), accelerator, devices=3))


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"hiddenSize": 8, "layers": 1, "attentionHeads": 1}, 8),
        ({"hiddenSize": 65536, "layers": 512, "attentionHeads": 512, "vocabSize": 1_048_576}, 2048),
        ({"maxPositionEmbeddings": 2048}, 1_000_000),  # longer than the model can read
        ({"architecture": "mixtral", "experts": 256, "expertsPerToken": 256}, 4096),
    ],
)
@pytest.mark.parametrize("devices", [1, 7, 1000])
def test_sizes_that_nobody_has(config, length, devices):
    job = job_of({"model": {"config": LLAMA | config}, "training": {"maxSequenceLength": length}})
    check(estimate(job, find_accelerator("t4"), devices=devices))


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize(("records", "steps"), [(0, 0), (1, 3), (10**12, 3 * 62_500_000_000)])
def test_no_record_one_record_and_more_than_there_are(records, steps, packing):
    spec = {"model": {"id": "gpt2"}, "dataset": {"train": {"hub": {"id": "a/b"}}, "packing": packing}}
    found = estimate(job_of(spec), find_accelerator("l4"), records=records)
    check(found)
    assert packing or found.steps.steps.expected == steps
