"""The estimator against reality: what whole runs of the trainer hold on CPU, and how far they go."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from finetune_api import FineTuneJob, ResolvedJob, TrainingResult, parse_job
from finetune_api.estimate import setup_for, steps
from finetune_api.estimate.memory import gradient_memory, optimizer_memory, weight_memory
from finetune_api.estimate.parameters import count_parameters
from finetune_api.hardware import find_accelerator
from finetune_trainer import rank
from finetune_trainer.distributed import end_process_group
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter

MakeJob = Callable[..., ResolvedJob]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # PEFT 0.21 asks models for the attribute by its old name
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
    ),
]

MODEL = {
    "config": {
        "hiddenSize": 64, "layers": 2, "attentionHeads": 4, "keyValueHeads": 2, "intermediateSize": 160,
        "vocabSize": 320, "maxPositionEmbeddings": 128, "tieWordEmbeddings": False,
    },
    "tokenizer": {"train": {"vocabSize": 300}},
}  # fmt: skip


@dataclass
class Held:
    """Bytes that a run held after an optimizer step."""

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    _models: list[torch.nn.Module] = field(default_factory=list)


def sizes(tensors: Any) -> int:
    """Bytes of tensors, each place counted once; a number that is wrapped in a tensor is none of them."""
    places = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if t.numel() > 1}
    return sum(places.values())


@contextmanager
def watching() -> Iterator[Held]:
    """What is held at the end of each optimizer step in this block."""
    held = Held()

    def seen(module: torch.nn.Module, _inputs: object) -> None:
        total = sum(parameter.numel() for parameter in module.parameters())
        if not held._models or total > sum(p.numel() for p in held._models[0].parameters()):
            held._models = [module]

    def stepped(optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        states = [value for state in optimizer.state.values() for value in state.values()]
        held.gradients = max(held.gradients, sizes(p.grad for p in trained if p.grad is not None))
        held.optimizer = sizes(value for value in states if isinstance(value, torch.Tensor))
        held.weights = sizes(held._models[0].parameters())

    hooks = (
        register_module_forward_pre_hook(seen),
        register_optimizer_step_post_hook(stepped),
    )
    try:
        yield held
    finally:
        for hook in hooks:
            hook.remove()
        held._models = []


def trained(job: ResolvedJob) -> TrainingResult:
    try:
        return rank.train(job, Reporter([]), StopRequest())
    finally:
        end_process_group()


def as_submitted(job: ResolvedJob) -> FineTuneJob:
    body = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tiny"},
        "spec": job.spec.to_json_object(),
    }
    return parse_job(body)


@pytest.mark.parametrize(
    "spec",
    [
        {"method": {"type": "full"}},
        {"method": {"type": "lora", "lora": {"rank": 8}}},
        {"method": {"type": "lora", "lora": {"rank": 4, "targetModules": ["q_proj", "v_proj"]}}},
        {"method": {"type": "full"}, "training": {"optimizer": "sgd"}},
        {"method": {"type": "full"}, "training": {"gradientCheckpointing": "full"}},
    ],
    ids=["full", "lora on all layers", "lora on two", "sgd", "checkpointing"],
)
def test_weights_gradients_and_optimizer_are_as_large_as_estimated(
    make_job: MakeJob, spec: dict[str, Any]
) -> None:
    job = make_job(spec | {"model": MODEL, "training": {"precision": "fp32", **spec.get("training", {})}})
    with watching() as held:
        trained(job)
    accelerator = find_accelerator("t4")
    assert accelerator is not None
    setup = setup_for(as_submitted(job), accelerator, devices=1)
    counts = count_parameters(setup)
    assert (held.weights, held.gradients, held.optimizer) == (
        weight_memory(setup, counts),
        gradient_memory(setup, counts),
        optimizer_memory(setup, counts),
    )


@pytest.mark.parametrize("training", [{"maxSteps": 3}, {"maxSteps": None, "epochs": 1.5}])
def test_a_run_takes_as_many_steps_and_tokens_as_estimated(
    make_job: MakeJob, training: dict[str, Any]
) -> None:
    job = make_job({"model": MODEL, "training": training})
    reporter = Reporter([])
    try:
        result = rank.train(job, reporter, StopRequest())
    finally:
        end_process_group()
    facts = reporter.report.effective
    records, tokens = int(facts["sequences"]), int(facts["tokens"])
    expected = steps(as_submitted(job), records, tokens)
    assert expected.exact
    assert (result.step, result.total_steps) == (expected.steps.expected, expected.steps.expected)
    seen = reporter.report.tokens
    assert seen is not None
    passes = result.step / math.ceil(records / 4)
    if passes == int(passes):
        assert seen == int(passes) * tokens
