"""Optimizers: every one that transformers names is ours or refused; all that the validator lets pass can be
made and move weights; groups of weights have the rates that they are given."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from transformers import Trainer
from transformers.training_args import OptimizerNames

from finetune_api import ResolvedJob
from finetune_api.model import ModelSpec
from finetune_api.training import Optimizer
from finetune_api.validation.capabilities import IN_THE_IMAGE, LEFT_OUT
from finetune_cli.foreign.arguments import OPTIMIZERS as NAMES_OF_OTHERS
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods import apply_method
from finetune_trainer.model.models import load_base
from finetune_trainer.training.arguments import training_arguments
from finetune_trainer.training.optimizers import (
    OPTIMIZERS,
    SET_UP_HERE,
    grouped_optimizer,
    optimizer_name,
    optimizer_word,
    parameter_groups,
)

MakeJob = Callable[..., ResolvedJob]

PAGED = {name for name in IN_THE_IMAGE if name.startswith("paged")}
"""They want a GPU."""


def test_the_trainer_knows_what_the_validator_lets_pass() -> None:
    assert set(OPTIMIZERS) == set(IN_THE_IMAGE)


@pytest.mark.parametrize("name", [each.value for each in OptimizerNames])
def test_every_optimizer_that_transformers_names_trains_or_is_refused_by_name(name: str) -> None:
    ours: Any = NAMES_OF_OTHERS[name]
    assert (ours in IN_THE_IMAGE) != (ours in LEFT_OUT)


def test_the_schema_has_no_other() -> None:
    assert sorted(get_args(Optimizer)) == sorted([*IN_THE_IMAGE, *LEFT_OUT])
    in_use = [each for each in NAMES_OF_OTHERS if NAMES_OF_OTHERS[each] in IN_THE_IMAGE]
    assert {NAMES_OF_OTHERS[name] for name in in_use} == set(IN_THE_IMAGE)
    assert set(OPTIMIZERS.values()) <= {each.value for each in OptimizerNames}


def test_another_one_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match=r"training.optimizer: lomo is not known"):
        optimizer_name("lomo")


@pytest.mark.parametrize("name", sorted(set(IN_THE_IMAGE) - SET_UP_HERE - PAGED))
def test_every_optimizer_of_transformers_lowers_a_loss(make_job: MakeJob, tmp_path: Path, name: Any) -> None:
    job = make_job({"training": {"optimizer": name, "learningRate": 1e-3}})
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 128)
    arguments = training_arguments(job, "fp32", tmp_path)
    cls, settings = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    optimizer = cls(model.parameters(), **settings)
    inputs, losses = torch.randn(16, 64), []
    for _ in range(8):
        loss = model(inputs).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_status_names_what_steps_and_not_what_was_asked_for() -> None:
    stepping: Any = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    for _ in range(2):
        stepping = SimpleNamespace(optimizer=stepping)
    assert optimizer_word("lion8bit", stepping) == "lion8bit (SGD of torch)"


def adapted(job: ResolvedJob) -> torch.nn.Module:
    base = load_base(ModelSpec(path="/m"), str(job.spec.model.path), torch.float32)
    return apply_method(base, job.spec.method, seed=1)


def rates(model: torch.nn.Module, groups: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each trained weight, by name."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in groups
        for weight in group["params"]
    }


def test_lora_plus_makes_b_matrices_learn_faster(make_job: MakeJob) -> None:
    lora = {
        "learningRateRatio": 16.0,
        "targetModules": ["q_proj", "embed_tokens"],
        "embeddingLearningRate": 1e-5,
    }
    job = make_job({"method": {"type": "lora", "lora": lora}, "training": {"learningRate": 1e-3}})
    model = adapted(job)
    found = rates(model, parameter_groups(model, job.spec))
    assert found.keys() == {name for name, weight in model.named_parameters() if weight.requires_grad}
    for name, (rate, decay) in found.items():
        expected = 1e-5 if "embedding" in name else 16e-3 if "lora_B" in name else 1e-3
        assert (rate, decay) == (pytest.approx(expected), 0.01), name


def test_the_first_pattern_that_matches_decides(make_job: MakeJob) -> None:
    groups = [
        {"pattern": r"layers\.0\.", "learningRate": 1e-5},
        {"pattern": "mlp", "weightDecay": 0.5},
    ]
    job = make_job({"training": {"learningRate": 1e-3, "parameterGroups": groups}})
    model = adapted(job)
    found = rates(model, parameter_groups(model, job.spec))
    assert found["model.layers.0.mlp.up_proj.weight"] == (1e-5, 0.01)
    assert found["model.layers.1.mlp.up_proj.weight"] == (1e-3, 0.5)
    assert found["model.layers.1.self_attn.q_proj.weight"] == (1e-3, 0.01)
    assert found["model.layers.0.input_layernorm.weight"] == (1e-5, 0.0)


def test_a_pattern_that_matches_nothing_is_refused(make_job: MakeJob) -> None:
    job = make_job({"training": {"parameterGroups": [{"pattern": "no_such"}]}})
    with pytest.raises(
        InvalidConfigError, match=r"training.parameterGroups: 'no_such' matches no trained weight"
    ):
        parameter_groups(adapted(job), job.spec)


def test_one_rate_for_all_is_left_to_transformers(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    arguments = training_arguments(job, "fp32", tmp_path)
    assert grouped_optimizer(torch.nn.Linear(2, 2), arguments, job.spec) is None
