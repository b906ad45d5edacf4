"""The arithmetic of a run on a GPU, by what is asked for and what it has; on CPU, see `test_arguments.py`."""

from collections.abc import Callable

import pytest
import torch

from finetune_api import ResolvedJob
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.precision import effective_precision

MakeJob = Callable[..., ResolvedJob]


@pytest.fixture
def on_gpu(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ResolvedJob]:
    """A job on a GPU that has bf16, or has not."""

    def make(asked: str, *, has_bf16: bool) -> ResolvedJob:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
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


def test_bf16_on_an_older_gpu_is_refused(on_gpu: Callable[..., ResolvedJob]) -> None:
    with pytest.raises(InvalidConfigError, match=r"training.precision: bf16 is not in this GPU's"):
        effective_precision(on_gpu("bf16", has_bf16=False))
