"""Options of a run that show only in a run: what stays frozen, what stays tied, what the status says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_api import ResolvedJob
from finetune_trainer.reporting import Reporter
from one_rank import train

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow


def effective(job: ResolvedJob) -> dict[str, str]:
    """Trains, and returns what the status says about what really ran."""
    reporter = Reporter([])
    assert train(job, reporter).outcome == "succeeded"
    return dict(reporter.report.effective)


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        (
            {
                "type": "freeze",
                "freeze": {"layers": [0], "modulePatterns": ["mlp"], "extraModules": ["norm"]},
            },
            {"model.norm.weight"}
            | {f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")},
        ),
        (
            {"type": "spectrum", "spectrum": {"layers": [1], "modulePatterns": ["q_proj"]}},
            {"model.layers.1.self_attn.q_proj.weight"},
        ),
    ],
    ids=["freeze", "spectrum"],
)
def test_what_is_frozen_leaves_as_it_came(
    make_job: MakeJob, tiny_model: Path, method: dict[str, Any], changed: set[str]
) -> None:
    job = make_job({"method": method})
    said = effective(job)
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(Path(job.paths.output_directory) / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert {name for name in before if not torch.equal(before[name], after[name])} == changed
    assert int(said["trainedParameters"]) == sum(before[name].numel() for name in changed)


def test_a_tied_embedding_can_be_trained_beside_adapters(make_job: MakeJob) -> None:
    effective(make_job({"method": {"type": "lora", "lora": {"modulesToSave": ["embed_tokens"]}}}))


def test_the_status_says_what_is_not_there(make_job: MakeJob, tiny_model: Path) -> None:
    said = effective(
        make_job(
            {
                "model": {"path": str(tiny_model), "kernels": "auto", "upcastLayerNorm": True},
                "method": {"type": "qlora", "lora": {"initialization": "orthogonal"}},
                "quantization": {"type": "nf4"},
                "training": {"precision": "bf16", "optimizer": "ademamix8bit"},
            }
        )
    )
    assert said["kernels"] == "none (Liger's are written for GPUs)"
    assert (said["quantization"], said["compile"]) == ("nf4", "none")
    assert said["optimizer"] == "ademamix8bit (AdEMAMix of bitsandbytes)"
    assert (said["loadPrecision"], said["computeType"], said["storageType"]) == ("fp32", "bf16", "uint8")
    assert (said["initialization"], said["taskType"]) == ("orthogonal", "causalLm")
    assert (said["backend"], said["resume"], said["supervise"]) == ("gloo", "from the start", "answers")
