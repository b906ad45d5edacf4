"""The parts of a run, put together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.assembly import load_model
from finetune_trainer.inputs import prepare_inputs
from finetune_trainer.methods import prepare_method

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.filterwarnings(
    # PEFT 0.21 asks models for the attribute by its old name
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


@pytest.mark.parametrize("start", ["default", "pissa"])
def test_an_adapter_says_which_revision_of_its_base_it_is_for(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path, start: str
) -> None:
    # of a directory there are no revisions: the name goes through all the same
    model = {"path": str(tiny_model), "revision": "0a1b2c"}
    job = make_job({"model": model, "method": {"type": "lora", "lora": {"initialization": start}}})
    inputs = prepare_inputs(job)
    prepared = prepare_method(job, inputs.base, "fp32", data=inputs.data)
    adapted: Any = load_model(inputs, prepared, "fp32").model
    adapted.save_pretrained(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["revision"] == "0a1b2c"
