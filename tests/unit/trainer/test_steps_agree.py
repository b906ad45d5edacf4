"""Steps that are estimated are those that the trainer plans, in every stage."""

import math

import numpy as np
import pytest

from finetune_api import parse_job
from finetune_api.estimate import steps
from finetune_api.estimate.fit import apply
from finetune_trainer.data.dataset import held_out
from finetune_trainer.data.packing import pack
from finetune_trainer.data.prompts import repeated
from finetune_trainer.data.sampling import GlobalOrder

BASE = parse_job(
    {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "any"},
        "spec": {
            "model": {"id": "gpt2"},
            "dataset": {"train": {"hub": {"id": "a/b"}}},
            "training": {"maxSequenceLength": 100, "microBatchSize": 2, "gradientAccumulationSteps": 4},
        },
    }
)
BATCH = 8


def planned(job, sequences):
    """Steps of so many sequences, held-out ones included."""
    training = job.spec.training
    share = job.spec.dataset.eval_split
    trained, _ = held_out(sequences, share, training.seed)
    order = repeated(GlobalOrder(len(trained), BATCH, training.seed), training)
    return math.ceil(training.epochs * order.steps_per_epoch)


@pytest.mark.parametrize("records", [9, 40, 1003])
@pytest.mark.parametrize("split", [0.0, 0.01, 0.25])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training.epochs": 0.5},
        {"training.epochs": 2.3},
        {"training.stage": "dpo"},
        {"training.stage": "kto"},
        {"training.stage": "rm"},
        {"training.stage": "grpo", "training.grpo.groupSize": 4, "training.grpo.updatesPerBatch": 3},
        {"training.stage": "ppo", "training.ppo.updatesPerBatch": 2},
    ],
)
def test_each_stage_takes_the_estimated_steps(changes, split, records):
    job = apply(BASE, changes | {"dataset.evalSplit": split})
    found = steps(job, records, 50 * records)
    assert found.exact
    assert found.steps.expected == planned(job, records)


@pytest.mark.parametrize("lengths", [[30] * 50, [51] * 40, [100, 1, 60, 39, 20] * 7, [10] * 3])
def test_packed_records_take_steps_within_the_bounds(lengths):
    job = apply(BASE, {"dataset.packing": True, "training.epochs": 1})
    found = steps(job, len(lengths), sum(lengths))
    assert found.steps.low <= planned(job, len(pack(lengths, 100))) <= found.steps.high


@pytest.mark.parametrize("mean", [20, 40, 55, 70, 90, 120])
@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_packed_records_of_different_lengths_take_about_the_expected_steps(mean, spread):
    """Log-normal lengths, cut at the longest sequence, whatever their mean."""
    drawn = np.random.default_rng(0).lognormal(np.log(mean) - spread**2 / 2, spread, 4000)
    lengths = np.clip(drawn, 1, 100).astype(int)
    job = apply(BASE, {"dataset.packing": True, "training.epochs": 1})
    expected = steps(job, len(lengths), int(lengths.sum())).steps.expected
    assert expected <= planned(job, len(pack(lengths, 100))) <= 1.1 * expected
