"""GaLore projects what it should, and Schedule-Free shows an average without changing the run."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from finetune_api import ResolvedJob
from finetune_api.estimate.optimizers import state_bytes
from finetune_api.model import ArchitectureSpec, ModelSpec
from finetune_api.training import TrainingSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.model.models import load_base, rotary_shape
from finetune_trainer.training.library_optimizers import library_optimizer, projected
from finetune_trainer.training.optimizers import parameter_groups

MakeJob = Callable[..., ResolvedJob]

CPU = torch.device("cpu")

STEPS = 8
"""RAdam does not move in the first four."""

SCHEDULE_FREE = ("scheduleFreeAdamw", "scheduleFreeRadam", "scheduleFreeSgd")


def test_galore_projects_the_matrices_of_the_layers(make_job: MakeJob) -> None:
    job = make_job({"training": {"optimizer": "galoreAdamw", "weightDecay": 0.1}})
    model: torch.nn.Module = load_base(ModelSpec(path="/m"), str(job.spec.model.path), torch.float32)
    names = {id(weight): name for name, weight in model.named_parameters()}
    _, settings = library_optimizer(model, job.spec.training, parameter_groups(model, job.spec), CPU)
    projected = {
        names[id(weight)]: group["weight_decay"]
        for group in settings["params"]
        if "rank" in group
        for weight in group["params"]
    }
    assert projected == {
        name: 0.1 for name in names.values() if name.startswith("model.layers.") and "_proj" in name
    }
    everything = [id(weight) for group in settings["params"] for weight in group["params"]]
    assert sorted(everything) == sorted(names)


def test_galore_projects_the_layers_of_gpt2_too(make_job: MakeJob, tiny_gpt2: Path) -> None:
    job = make_job({"model": {"path": str(tiny_gpt2)}, "training": {"optimizer": "galoreAdamw"}})
    model: torch.nn.Module = load_base(ModelSpec(path="/m"), str(tiny_gpt2), torch.float32)
    groups = projected(parameter_groups(model, job.spec), model, "galoreAdamw")
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = {names[id(weight)] for group in groups if "rank" in group for weight in group["params"]}
    assert found == {name for name in names.values() if ".c_" in name and name.endswith(".weight")}


def test_galore_refuses_experts_that_are_no_matrices(make_job: MakeJob, tiny_mixtral: Path) -> None:
    job = make_job({"model": {"path": str(tiny_mixtral)}, "training": {"optimizer": "galoreAdamw"}})
    model: torch.nn.Module = load_base(ModelSpec(path="/m"), str(tiny_mixtral), torch.float32)
    with pytest.raises(InvalidConfigError, match=r"training.optimizer: .*experts.* has 3 dimensions"):
        projected(parameter_groups(model, job.spec), model, "galoreAdamw")


def held(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimizer's state, of which a view holds all that it is a view of."""
    values = [value for state in optimizer.state.values() for value in state.values()]
    values += [value.ortho_matrix for value in values if hasattr(value, "ortho_matrix")]
    return sum(value.untyped_storage().nbytes() for value in values if isinstance(value, torch.Tensor))


class Run:
    """A few steps on a small layer, the same for every object."""

    def __init__(self, name: Any) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(8, 4)
        self.inputs = torch.randn(16, 8)
        cls, settings = library_optimizer(
            self.model, TrainingSpec(optimizer=name), [{"params": list(self.model.parameters())}], CPU
        )
        self.optimizer = cls(settings.pop("params"), lr=0.1, **settings)

    def step(self) -> float:
        if hasattr(self.optimizer, "train"):
            self.optimizer.train()
        loss = self.model(self.inputs).square().mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @property
    def weight(self) -> torch.Tensor:
        return self.model.weight.detach().clone()


@pytest.mark.parametrize("name", [*SCHEDULE_FREE, "stableAdamw"])
def test_steps_lower_a_loss(name: str) -> None:
    run = Run(name)
    losses = [run.step() for _ in range(STEPS)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_looking_at_the_average_does_not_change_the_run(name: str) -> None:
    plain, watched = Run(name), Run(name)
    for _ in range(STEPS):
        plain.step()
        watched.step()
        trained = watched.weight
        watched.optimizer.eval()
        shown = watched.weight
        watched.optimizer.train()
        assert torch.equal(watched.weight, trained)
    assert not torch.equal(shown, trained)
    assert torch.equal(watched.weight, plain.weight)
    assert watched.step() < Run(name).step()


@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_a_checkpoint_of_the_average_goes_on_from_what_was_trained(name: str) -> None:
    first, second = Run(name), Run(name)
    for _ in range(STEPS - 2):
        first.step()
    first.optimizer.eval()
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(deepcopy(first.optimizer.state_dict()))
    assert [first.step() for _ in range(2)] == [second.step() for _ in range(2)]
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize("name", [*SCHEDULE_FREE, "stableAdamw"])
def test_the_state_is_as_large_as_estimated(name: Any) -> None:
    run = Run(name)
    run.step()
    # a number or two per weight beside it
    assert held(run.optimizer) == pytest.approx(state_bytes(name, 4 * 8 + 4, 4, 8), abs=16)


@pytest.mark.parametrize(("name", "least"), [("galoreAdamw", 0.6), ("galoreAdafactor", 0.4)])
def test_the_state_of_galore_is_no_larger_than_estimated(make_job: MakeJob, name: Any, least: float) -> None:
    wide = {"hiddenSize": 512, "layers": 1, "attentionHeads": 4, "vocabSize": 300}
    architecture = ArchitectureSpec.from_json_object(wide)
    config = LlamaConfig(**rotary_shape(architecture), vocab_size=300, tie_word_embeddings=False)
    model = LlamaForCausalLM(config)
    job = make_job({"training": {"optimizer": name}})
    cls, settings = library_optimizer(model, job.spec.training, parameter_groups(model, job.spec), CPU)
    optimizer = cls(settings.pop("params"), lr=0.01, **settings)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    trained = sum(weight.numel() for weight in model.parameters())
    estimated = state_bytes(name, trained, 4, 512, embedded=2 * 300 * 512)
    assert least * estimated < held(optimizer) < estimated
