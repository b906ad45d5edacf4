"""What is explained can be checked by hand."""

import math
import re

import pytest

from finetune_api.estimate import estimate
from finetune_api.estimate.explain import explain

CASES = {
    "lora": {},
    "qlora": {"method.type": "qlora", "quantization.type": "nf4", "training.gradientCheckpointing": "full"},
    "full": {"method.type": "full", "training.microBatchSize": 4},
    "full, the step": {"method.type": "full", "training.maxSequenceLength": 128},
    "zero 2": {"method.type": "full", "resources.accelerators.perNode": 4, "distributed.zeroStage": 2},
    "zero 3": {"method.type": "full", "resources.accelerators.perNode": 4, "distributed.zeroStage": 3},
    "liger": {"model.kernels": "liger"},
    "dpo": {"method.type": "full", "training.stage": "dpo"},
    "offload": {
        "method.type": "full", "distributed.zeroStage": 3, "distributed.offload.optimizer": "cpu",
        "resources.accelerators.perNode": 2,
    },
    "grpo": {"training.stage": "grpo", "training.grpo.updatesPerBatch": 2},
    "ppo": {"method.type": "qlora", "quantization.type": "nf4", "training.stage": "ppo"},
    "max steps": {"training.maxSteps": 7},
}  # fmt: skip


def sides(numbers):
    """Both sides of an equation as numbers: units, words and the commas of thousands are taken out."""
    left, _, right = numbers.partition(" (a pass")[0].rpartition(" = ")
    value = float(re.sub(r"[^\d.]", "", right.split()[0]))
    if "GiB" in right and "GiB" not in left:
        value *= 2**30
    terms = re.sub(r"[A-Za-z'$,]|none at.*", "", left).replace("×", "*")
    terms = terms.replace("⌈", "math.ceil(").replace("⌉", ")")
    return eval(terms) if terms.strip() else 0.0, value


@pytest.mark.parametrize("name", CASES)
def test_every_equation_adds_up(job, a100, name):
    lines = explain(estimate(job(CASES[name]), a100, records=1001, tokens=300_000))
    assert [line.name for line in lines][:7] == [
        "weights", "gradients", "optimizer", "activations", "logits", "buffers", "overhead"
    ]  # fmt: skip
    for line in lines:
        if "training.maxSteps" in line.numbers:
            continue
        found, value = sides(line.numbers)
        assert math.isclose(found, value, rel_tol=2e-3, abs_tol=6e-4), line
