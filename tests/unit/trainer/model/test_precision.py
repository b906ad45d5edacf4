"""The GPU of a rank, and the arithmetic of a run on it, by what is asked for and what it has; on CPU, see
`test_arguments.py`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from finetune_api import ResolvedJob
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.model.precision import effective_precision, multiply_in, take_device

MakeJob = Callable[..., ResolvedJob]


@pytest.fixture
def on_gpu(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ResolvedJob]:
    """A job on a GPU that has bf16, or has not."""

    def make(asked: str, *, has_bf16: bool) -> ResolvedJob:
        # any GPU imitates what it has not
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16 or including_emulation
        )
        return make_job({"training": {"precision": asked}}).model_copy(update={"device": "cuda"})

    return make


@pytest.mark.parametrize(
    ("asked", "has_bf16", "runs"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp16"),
        ("bf16", True, "bf16"),
        ("fp16", True, "fp16"),
        ("fp16", False, "fp16"),
        ("fp32", True, "fp32"),
        # single precision whose matrix products take shorter factors
        ("tf32", True, "fp32"),
    ],
)
def test_a_gpu_computes_in_what_is_asked_for_and_it_has(
    on_gpu: Callable[..., ResolvedJob], asked: str, has_bf16: bool, runs: str
) -> None:
    assert effective_precision(on_gpu(asked, has_bf16=has_bf16)) == runs


@pytest.mark.parametrize("asked", ["bf16", "tf32"])
def test_what_an_older_gpu_only_imitates_is_refused(on_gpu: Callable[..., ResolvedJob], asked: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"training.precision: {asked} is not in this GPU's"):
        effective_precision(on_gpu(asked, has_bf16=False))


@pytest.fixture
def own_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)
    torch.backends.fp32_precision = "none"


@pytest.mark.usefixtures("own_precision")
@pytest.mark.parametrize(("asked", "allowed"), [("tf32", True), ("fp32", False), ("bf16", False)])
def test_factors_are_shortened_where_it_is_asked_for_whatever_libraries_have_set(
    asked: str, allowed: bool
) -> None:
    # where a model is compiled, transformers 5.23 does the one, and accelerate 1.15 the other
    torch.backends.fp32_precision = "tf32"
    torch.backends.cuda.matmul.allow_tf32 = True
    multiply_in(asked)
    assert torch.backends.cuda.matmul.allow_tf32 is allowed


@dataclass
class Machine:
    """CUDA on a machine with two GPUs, as far as the trainer asks it."""

    capability: tuple[int, int] = (9, 0)
    count: int = 2
    asked: list[str] = field(default_factory=list)
    """In the order in which it was asked."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(name: str, value: Any) -> None:
            def asked(*given: object) -> Any:
                self.asked.append(f"{name}{given}")
                return value

            monkeypatch.setattr(torch.cuda, name, asked)

        answer("device_count", self.count)
        answer("set_device", None)
        answer("get_device_capability", self.capability)
        answer("get_device_name", "Tesla V100-SXM2-16GB")
        answer("get_arch_list", ["sm_75", "sm_90", "sm_100a", "compute_120"])


@pytest.fixture
def job_of_two_ranks(make_job: MakeJob) -> ResolvedJob:
    accelerators = {"resources": {"accelerators": {"perNode": 2}}}
    return make_job(accelerators).model_copy(update={"device": "cuda", "processes_per_node": 2})


def test_a_rank_takes_its_own_gpu_before_it_asks_anything_of_one(
    job_of_two_ranks: ResolvedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    machine = Machine()
    machine.install(monkeypatch)
    take_device(job_of_two_ranks)
    assert machine.asked[:2] == ["device_count()", "set_device(1,)"]


def test_a_gpu_that_pytorch_has_no_code_for_is_named_before_anything_is_loaded(
    job_of_two_ranks: ResolvedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(capability=(7, 0)).install(monkeypatch)
    with pytest.raises(InvalidConfigError, match=r"V100-SXM2-16GB has compute capability 7\.0, .* 7\.5 and"):
        take_device(job_of_two_ranks)


def test_a_node_that_shows_too_few_gpus_is_told(
    job_of_two_ranks: ResolvedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(count=1).install(monkeypatch)
    with pytest.raises(InvalidConfigError, match="this node shows 1 CUDA devices"):
        take_device(job_of_two_ranks)


def test_a_driver_that_is_too_old_is_told_though_its_gpus_are_counted(
    job_of_two_ranks: ResolvedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine().install(monkeypatch)

    def refuse(_device: int) -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12040).")

    monkeypatch.setattr(torch.cuda, "set_device", refuse)
    with pytest.raises(InvalidConfigError, match="NVIDIA driver is too old"):
        take_device(job_of_two_ranks)


def test_a_gpu_that_fails_for_another_reason_is_not_a_mistake_in_the_job(
    job_of_two_ranks: ResolvedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine().install(monkeypatch)

    def fail(_device: int) -> None:
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    monkeypatch.setattr(torch.cuda, "set_device", fail)
    with pytest.raises(RuntimeError, match="ECC"):
        take_device(job_of_two_ranks)
