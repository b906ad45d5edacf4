"""Paged optimizers: bitsandbytes' own arithmetic and bookkeeping, on a pretended GPU, with a stand-in for the
memory that GPU and host share."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from bitsandbytes import functional
from transformers import Trainer

from finetune_api import ResolvedJob
from finetune_trainer.training.arguments import training_arguments
from finetune_trainer.training.optimizers import LEAST_PAGED, OPTIMIZERS, page_again
from one_rank import train
from pretended_gpu import pretended_gpu

MakeJob = Callable[..., ResolvedJob]

PAGED = [name for name in OPTIMIZERS if name.startswith("paged")]


class SharedMemory:
    """Tensors that a GPU pages, in place of bitsandbytes' calls of CUDA."""

    def __init__(self) -> None:
        self.addresses: set[int] = set()

    def get_paged(self, *shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        made = torch.empty(shape, dtype=dtype)
        made.is_paged, made.page_deviceid = True, device.index
        self.addresses.add(made.data_ptr())
        return made

    def fill(self, tensor: torch.Tensor, value: float) -> None:
        tensor.fill_(value)

    def prefetch_tensor(self, tensor: torch.Tensor) -> None:
        if tensor.data_ptr() not in self.addresses:
            raise RuntimeError("Error invalid argument: a process with CUDA ends here")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedMemory]:
    memory = SharedMemory()
    for name in ("get_paged", "fill", "prefetch_tensor"):
        monkeypatch.setattr(functional, name, getattr(memory, name))
    with pretended_gpu(monkeypatch):
        yield memory


@pytest.fixture
def stepping(make_job: MakeJob, tmp_path: Any) -> Callable[..., Any]:
    """An optimizer as transformers makes it for a job."""

    def make(name: str, weights: list[torch.nn.Parameter]) -> Any:
        job = make_job({"training": {"optimizer": name, "learningRate": 1e-2}})
        arguments = training_arguments(job, "fp32", tmp_path)
        cls, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
        return cls(weights, **settings)

    return make


def weights(device: str) -> list[torch.nn.Parameter]:
    """One whose state is paged, and one that is too small for it."""
    torch.manual_seed(1)
    sizes = ((LEAST_PAGED // 100, 100), (8, 8))
    return [torch.nn.Parameter(torch.randn(*size).to(device)) for size in sizes]


def step(optimizer: Any, trained: list[torch.nn.Parameter], times: int) -> None:
    for _ in range(times):
        optimizer.zero_grad()
        sum((weight**2).sum() for weight in trained).backward()
        optimizer.step()


def stored(optimizer: Any) -> Any:
    """The state as a checkpoint brings it."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", PAGED)
def test_its_state_is_paged_again_after_a_checkpoint_and_it_goes_on_exactly(
    stepping: Callable[..., Any], shared: SharedMemory, name: str
) -> None:
    whole, first, second = (weights("cuda") for _ in range(3))
    plain = weights("cpu")
    step(stepping(name.removeprefix("paged")[0].lower() + name.removeprefix("paged")[1:], plain), plain, 3)
    step(stepping(name, whole), whole, 3)
    assert all(torch.allclose(gpu.cpu(), cpu, atol=1e-6) for gpu, cpu in zip(whole, plain, strict=True))

    before, after = stepping(name, first), stepping(name, second)
    step(before, first, 2)
    for old, new in zip(first, second, strict=True):
        new.data.copy_(old.data)
    after.load_state_dict(stored(before))
    page_again(after)
    large, small = (after.state[weight]["state1"] for weight in second)
    assert large.data_ptr() in shared.addresses
    assert small.is_cuda
    step(after, second, 1)
    assert all(torch.equal(gone_on.cpu(), all_.cpu()) for gone_on, all_ in zip(second, whole, strict=True))


@pytest.mark.usefixtures("shared")
def test_state_that_several_ranks_read_from_a_checkpoint_would_end_the_process(
    stepping: Callable[..., Any],
) -> None:
    (trained, _) = weights("cuda")
    optimizer = stepping("pagedAdamw", [trained])
    step(optimizer, [trained], 1)
    # read to the GPU itself, as transformers does there, it is still called paged
    optimizer.state[trained]["state1"] = optimizer.state[trained]["state1"].to("cuda")
    optimizer.state[trained]["state1"].is_paged = True
    with pytest.raises(RuntimeError, match="invalid argument"):
        step(optimizer, [trained], 1)
    page_again(optimizer)
    step(optimizer, [trained], 1)


def test_other_optimizers_are_left_alone(stepping: Callable[..., Any]) -> None:
    trained = weights("cpu")
    optimizer = stepping("adamw8bit", trained)
    step(optimizer, trained, 1)
    before = optimizer.state[trained[0]]["state1"]
    page_again(optimizer)
    assert optimizer.state[trained[0]]["state1"] is before


@pytest.mark.slow
@pytest.mark.usefixtures("shared")
def test_a_run_steps_with_it(make_job: MakeJob) -> None:
    spec = {
        "training": {"optimizer": "pagedAdamw8bit", "maxSteps": 2},
        "checkpoints": {"everySteps": 0},
        "resources": {"accelerators": {"perNode": 1}},
        "distributed": {"backend": "gloo"},
    }
    assert train(make_job(spec).model_copy(update={"device": "cuda"})).outcome == "succeeded"
