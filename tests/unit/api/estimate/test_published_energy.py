"""Device hours and energy that a paper gives for whole runs (Touvron et al. 2023, LLaMA, table 15).

They saw 1 and 1.4·10¹² tokens in sequences of 2,048, at a PUE of 1.1. The paper does not say the micro-batch:
two sequences here, and checkpointing from 33 billion weights on.
"""

import re
from pathlib import Path

import pytest

from finetune_api.estimate import estimate
from finetune_api.hardware import parse_overrides

PAGE = Path(__file__).parents[4] / "docs" / "estimates.md"
ROWS = {
    "LLaMA-7B": (4096, 32, 32, 11008, 1.0e12, 82_432, 36),
    "LLaMA-13B": (5120, 40, 40, 13824, 1.0e12, 135_168, 59),
    "LLaMA-33B": (6656, 60, 52, 17920, 1.4e12, 530_432, 233),
    "LLaMA-65B": (8192, 80, 64, 22016, 1.4e12, 1_022_362, 449),
}
"""Width, layers, heads, feed-forward width, tokens, device hours and MWh."""
DEVICES = 2048


@pytest.fixture(scope="module")
def found(job, a100):
    """Expected device hours and MWh of each run."""
    catalog = parse_overrides({"pue": 1.1})

    def one(hidden, layers, heads, feed_forward, tokens, *_):
        body = job(
            {
                "method.type": "full",
                "training.stage": "pretrain",
                "training.epochs": 1,
                "training.microBatchSize": 2,
                "training.gradientAccumulationSteps": 1,
                "training.maxSequenceLength": 2048,
                "training.gradientCheckpointing": "full" if layers >= 60 else "none",
                "distributed.nodes": DEVICES // 8,
                "distributed.zeroStage": 3,
                "resources.accelerators.perNode": 8,
            }
        ).to_json_object()
        body["spec"]["model"] = {
            "config": {
                "hiddenSize": hidden,
                "layers": layers,
                "attentionHeads": heads,
                "intermediateSize": feed_forward,
                "vocabSize": 32000,
                "maxPositionEmbeddings": 2048,
                "tieWordEmbeddings": False,
            },
            "tokenizer": {"id": "a/b"},
        }
        made = type(job()).from_json_object(body)
        result = estimate(made, a100, records=10**9, tokens=int(tokens), catalog=catalog)
        hours = result.duration_seconds.expected * DEVICES / 3600
        return hours, result.cost.energy_kwh.expected / 1000

    return {name: one(*row) for name, row in ROWS.items()}


def test_device_hours_and_energy_are_within_a_fifth(found):
    for name, (*_, hours, energy) in ROWS.items():
        assert found[name] == (pytest.approx(hours, rel=0.2), pytest.approx(energy, rel=0.25))


def test_the_page_shows_them(found):
    row = r"^\| (LLaMA-\d+B) \| ([\d,]+) \| ([\d,]+) \| (\d+) \| (\d+) \|$"
    shown = re.findall(row, PAGE.read_text(), re.M)
    assert shown == [
        (name, f"{hours:,}", f"{found[name][0]:,.0f}", str(energy), f"{found[name][1]:.0f}")
        for name, (*_, hours, energy) in ROWS.items()
    ]
