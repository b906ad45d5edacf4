"""The estimator against reality: what whole runs of the trainer hold on CPU, and how far they go."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from finetune_api import FineTuneJob, ResolvedJob, TrainingResult, parse_job
from finetune_api.estimate import setup_for, steps
from finetune_api.estimate.activations import head_inputs, layer_activations, layer_input
from finetune_api.estimate.parameters import count_parameters, layers_with_gradients
from finetune_api.estimate.states import gradient_memory, states_memory
from finetune_api.estimate.weights import weight_memory
from finetune_api.hardware import find_accelerator
from finetune_trainer.distributed import end_process_group
from finetune_trainer.engines import native
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

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
    activations: int = 0
    """Kept by the forward pass for the backward pass, weights and their copies left out."""
    tokens: int = 0
    """Of the pass that kept most, padding included."""
    _kept: dict[int, int] = field(default_factory=dict)
    _tokens: int = 0
    _models: list[torch.nn.Module] = field(default_factory=list)


def sizes(tensors: Any) -> int:
    """Bytes of tensors, each place counted once; a number that is wrapped in a tensor is none of them."""
    places = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if t.numel() > 1}
    return sum(places.values())


def parameters(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The weights of a model, and the constants of those that bitsandbytes has packed."""
    for module in model.modules():
        rows = getattr(getattr(module, "state", None), "SCB", None)
        if rows is not None:
            yield rows
    for parameter in model.parameters():
        yield parameter
        state = getattr(parameter, "quant_state", None)
        while state is not None:
            yield state.absmax
            state = state.state2


@contextmanager
def watching() -> Iterator[Held]:
    """What is held at the end of each optimizer step in this block."""
    held = Held()

    def seen(module: torch.nn.Module, inputs: tuple[object, ...]) -> None:
        if isinstance(module, torch.nn.Embedding) and isinstance(inputs[0], torch.Tensor):
            held._tokens = inputs[0].numel()
        total = sum(parameter.numel() for parameter in module.parameters())
        if not held._models or total > sum(p.numel() for p in held._models[0].parameters()):
            held._models = [module]

    def stepped(optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        states = [value for state in optimizer.state.values() for value in state.values()]
        held.gradients = max(held.gradients, sizes(p.grad for p in trained if p.grad is not None))
        held.optimizer = sizes(value for value in states if isinstance(value, torch.Tensor))
        held.weights = sizes(parameters(held._models[0]))

    def packed(tensor: torch.Tensor) -> torch.Tensor:
        places = {p.untyped_storage().data_ptr() for p in held._models[0].parameters()}
        storage = tensor.untyped_storage()
        # What has no place for each token is a weight's copy, or gone when its module has done its part.
        if storage.data_ptr() not in places and tensor.numel() % held._tokens == 0:
            held._kept[storage.data_ptr()] = storage.nbytes()
            if sum(held._kept.values()) > held.activations:
                held.activations, held.tokens = sum(held._kept.values()), held._tokens
        return tensor

    def used(tensor: torch.Tensor) -> torch.Tensor:
        held._kept.clear()
        return tensor

    hooks = (
        register_module_forward_pre_hook(seen),
        register_optimizer_step_post_hook(stepped),
    )
    try:
        with torch.autograd.graph.saved_tensors_hooks(packed, used):
            yield held
    finally:
        for hook in hooks:
            hook.remove()
        held._models = []


def trained(job: ResolvedJob) -> TrainingResult:
    try:
        return native.train(job, Reporter([]), StopRequest())
    finally:
        end_process_group()


def as_submitted(job: ResolvedJob) -> FineTuneJob:
    """The job as its author wrote it, with a model of this machine described in numbers."""
    spec = job.spec.to_json_object()
    if "path" in spec["model"]:
        known = json.loads((Path(spec["model"]["path"]) / "config.json").read_text(encoding="utf-8"))
        spec["model"] = {"config": {field: known[name] for field, name in NUMBERS.items()}}
    body = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tiny"},
        "spec": spec,
    }
    return parse_job(body)


NUMBERS = {
    "hiddenSize": "hidden_size", "layers": "num_hidden_layers", "attentionHeads": "num_attention_heads",
    "keyValueHeads": "num_key_value_heads", "intermediateSize": "intermediate_size",
    "vocabSize": "vocab_size",
    "maxPositionEmbeddings": "max_position_embeddings", "tieWordEmbeddings": "tie_word_embeddings",
}  # fmt: skip
"""Fields of model.config, by what transformers calls them."""
LORA = {"rank": 8, "dropout": 0.0}
"""Without dropout, whose mask is an fp32 number on CPU, and a byte on a GPU."""
CASES: dict[str, tuple[dict[str, Any], float]] = {
    "full": ({"method": {"type": "full"}}, 0.0),
    "lora on all layers": ({"method": {"type": "lora", "lora": LORA}}, 0.0),
    "lora on two": (
        {"method": {"type": "lora", "lora": LORA | {"targetModules": ["q_proj", "v_proj"]}}},
        0.0,
    ),
    "sgd": ({"method": {"type": "full"}, "training": {"optimizer": "sgd"}}, 0.0),
    "checkpointing": ({"method": {"type": "full"}, "training": {"gradientCheckpointing": "full"}}, 0.0),
    "freeze": ({"method": {"type": "freeze", "freeze": {"trainableLayers": 1}}}, 0.0),
    "spectrum": ({"method": {"type": "spectrum", "spectrum": {"topFraction": 0.5}}}, 0.0),
    "dora": ({"method": {"type": "dora", "lora": LORA}}, 0.0),
    "pissa": ({"method": {"type": "pissa", "lora": LORA}}, 0.0),
    "rslora": ({"method": {"type": "rslora", "lora": LORA}}, 0.0),
    "nf4": ({"method": {"type": "qlora", "lora": LORA}, "quantization": {"type": "nf4"}}, 0.02),
    "int8": ({"method": {"type": "qlora", "lora": LORA}, "quantization": {"type": "int8"}}, 0.02),
}
"""Jobs, and by how much their weights may differ from what is expected: the last block of constants of a
quantized matrix may not be full."""
ACTIVATIONS_WITHIN = {"checkpointing": 0.25, "dora": 0.35, "nf4": 0.15, "int8": 0.15}
"""Of the activations of a whole pass, 0.1 for all others: the loss that the trainer uses on CPU keeps the
head's input for supervised tokens alone, which shows where little else is kept; DoRA keeps 30 % more in fp32
than we count, and why is not known: in 16 bit the count is exact (`test_against_torch.py`)."""


@pytest.mark.parametrize("name", CASES)
def test_a_run_holds_what_is_estimated_by_component(make_job: MakeJob, name: str) -> None:
    spec, within = CASES[name]
    # What is learnt from nothing can't be quantized: that base is the one on disk.
    model = {} if "quantization" in spec else {"model": MODEL}
    job = make_job(
        spec | model | {"training": {"precision": "fp32", "maxSteps": 2, **spec.get("training", {})}}
    )
    with watching() as held:
        trained(job)
    accelerator = find_accelerator("t4")
    assert accelerator is not None
    setup = setup_for(as_submitted(job), accelerator, devices=1)
    counts = count_parameters(setup)
    assert held.weights == pytest.approx(weight_memory(setup, counts), rel=within, abs=0)
    assert held.gradients == gradient_memory(setup, counts)
    assert held.optimizer == states_memory(setup, counts)
    layer = layer_input(setup) if setup.checkpointing else layer_activations(setup, counts, 0)
    expected = held.tokens * (layers_with_gradients(setup) * layer + head_inputs(setup, counts))
    assert held.activations == pytest.approx(expected, rel=ACTIVATIONS_WITHIN.get(name, 0.1))


@pytest.mark.parametrize("training", [{"maxSteps": 3}, {"maxSteps": None, "epochs": 1.5}])
def test_a_run_takes_as_many_steps_and_tokens_as_estimated(
    make_job: MakeJob, training: dict[str, Any]
) -> None:
    job = make_job({"model": MODEL, "training": training})
    reporter = Reporter([])
    try:
        result = native.train(job, reporter, StopRequest())
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
