"""Every optimizer in whole runs: it steps as itself, and a killed run goes on exactly.

By default a few; FINETUNE_ALL_COMBINATIONS=1 runs all but the paged ones, whose memory is a GPU's
(`test_paged_optimizers.py`). adamw, galoreAdamw, stableAdamw and scheduleFreeAdamw are in
`test_exact_resume.py` too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from breadth import EVERYTHING
from finetune_api import ResolvedJob
from finetune_trainer.reporting import Reporter
from finetune_trainer.training.optimizers import OPTIMIZERS
from one_rank import DiesAt, Killed, train
from runs import losses, output_weights

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

STEPPING = {
    "adamw": "AdamW of torch",
    "adamwFused": "AdamW of torch",
    "adamw8bit": "AdamW of bitsandbytes",
    "adafactor": "Adafactor of transformers",
    "ademamix": "AdEMAMix of bitsandbytes",
    "ademamix8bit": "AdEMAMix of bitsandbytes",
    "lion": "Lion of bitsandbytes",
    "lion8bit": "Lion of bitsandbytes",
    "sgd": "SGD of torch",
    "adagrad": "Adagrad of torch",
    "rmsprop": "RMSprop of torch",
    "rmspropBnb": "RMSprop of bitsandbytes",
    "rmsprop8bit": "RMSprop of bitsandbytes",
    "galoreAdamw": "GaLore of finetune_trainer",
    "galoreAdafactor": "GaLoreFactored of finetune_trainer",
    "stableAdamw": "StableAdamW of optimi",
    "scheduleFreeAdamw": "ScheduleFreeAdamW of finetune_trainer",
    "scheduleFreeRadam": "ScheduleFreeRAdam of finetune_trainer",
    "scheduleFreeSgd": "ScheduleFreeSGD of finetune_trainer",
}
"""What really steps, by the spec's name. Those of this trainer are the libraries', made to go on exactly
(`library_optimizers.py`)."""

PAGED = {name for name in OPTIMIZERS if name.startswith("paged")}

A_FEW = ["scheduleFreeRadam"]


def spec(name: str) -> dict[str, Any]:
    """Each step takes all 20 records, so that its loss tells what the steps before have changed."""
    # RAdam does not move in the first four
    steps = 8 if name == "scheduleFreeRadam" else 4
    training = {"optimizer": name, "learningRate": 1e-3, "maxSteps": steps, "microBatchSize": 10}
    schedule = {"schedule": {"type": "constant"}} if name.startswith("scheduleFree") else {}
    return {"training": training | schedule}


def test_only_paged_ones_are_left_out() -> None:
    assert set(STEPPING) == set(OPTIMIZERS) - PAGED


@pytest.mark.parametrize("name", STEPPING if EVERYTHING else A_FEW)
def test_a_run_steps_with_it_and_goes_on_exactly(make_job: MakeJob, tmp_path: Path, name: str) -> None:
    check(make_job, spec(name), tmp_path, name)


ON_OTHER_LAYERS = [
    *((family, "galoreAdamw") for family in ("gpt2", "phi3", "gemma3")),
    ("gpt2", "galoreAdafactor"),
    *((family, "adafactor") for family in ("gpt2", "mixtral")),
    ("mixtral", "adamw8bit"),
    ("mixtral", "scheduleFreeAdamw"),
]
"""Of optimizers that know matrices from other weights, or keep a second copy of them."""


@pytest.mark.parametrize(("family", "name"), ON_OTHER_LAYERS if EVERYTHING else [])
def test_it_steps_on_layers_of_other_kinds(
    make_job: MakeJob, family_model: Callable[[str], Path], tmp_path: Path, family: str, name: str
) -> None:
    check(make_job, spec(name) | {"model": {"path": str(family_model(family))}}, tmp_path, name)


def test_sample_answers_are_those_of_the_average(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[torch.Tensor] = []

    def look(model: torch.nn.Module, *_: Any, **__: Any) -> list[str]:
        answered.append(next(model.parameters()).detach().clone())
        return ["an answer"]

    what = spec("scheduleFreeAdamw")
    asking = what | {"evaluation": {"generations": {"prompts": ["add 1 and 1"], "everySteps": 2}}}
    plain, asked = make_job(what, run_directory=tmp_path / "plain"), make_job(asking)
    train(plain)
    monkeypatch.setattr("finetune_trainer.evaluation.generations.answer", look)
    train(asked)
    assert losses(asked) == losses(plain)
    saved = load_file(tmp_path / "plain" / "checkpoints" / "step-00000002" / "model.safetensors")
    assert torch.equal(answered[1], saved["model.embed_tokens.weight"])


def check(make_job: MakeJob, what: dict[str, Any], directory: Path, name: str) -> None:
    """A whole run, and one that is killed and goes on as if nothing had been."""
    whole, killed = make_job(what, run_directory=directory / "whole"), make_job(what)
    reporter = Reporter([])
    train(whole, reporter)
    assert reporter.report.effective["optimizer"] == f"{name} ({STEPPING[name]})"
    assert losses(whole)[-1][1] < losses(whole)[0][1]
    steps = what["training"]["maxSteps"]
    with pytest.raises(Killed):
        train(killed, DiesAt(steps - 1))
    assert train(make_job(what, attempt=2)).resumed_step == steps - 2
    assert losses(killed) == losses(whole)
    assert output_weights(killed) == output_weights(whole)
