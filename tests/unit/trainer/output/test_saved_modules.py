"""Modules that are trained whole beside adapters, on a base of 16 bit: a run from start to end."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetune_api import ExitCode, ResolvedJob
from finetune_trainer import rank


@pytest.mark.slow
def test_a_16_bit_run_trains_samples_saves_and_merges_what_it_holds_in_32_bit(
    make_job: Callable[..., ResolvedJob],
) -> None:
    job = make_job(
        {
            "method": {"type": "lora", "lora": {"rank": 4, "modulesToSave": ["embed_tokens", "lm_head"]}},
            "training": {"precision": "bf16", "maxSteps": 2},
            "evaluation": {"generations": {"prompts": ["add 1 and 1"], "sampling": {"maxNewTokens": 2}}},
            "output": {"mergeAdapter": True},
        }
    )
    assert rank.run(job) == ExitCode.SUCCEEDED
    output = Path(job.paths.output_directory)
    kept = load_file(output / "adapter/adapter_model.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.float32}
    assert (output / "merged/config.json").exists()
