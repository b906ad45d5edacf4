"""Flash attention without its library: a stand-in of the function that transformers calls, which takes what
the library takes (16 bit, on a GPU) and keeps documents apart by their positions, on a pretended GPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel, modeling_utils
from transformers.integrations import flash_attention

from finetune_api import ResolvedJob
from finetune_api.model import ModelSpec
from finetune_trainer.methods import Start, reload
from finetune_trainer.model import kernels
from finetune_trainer.training.isolation import computes_now
from one_rank import train
from pretended_gpu import pretended_gpu

MakeJob = Callable[..., ResolvedJob]

FLASH: dict[str, Any] = {"attention": "flash_attention_2"}


def documents(positions: torch.Tensor) -> torch.Tensor:
    """Which positions see which: shape (rows, 1, tokens, tokens)."""
    number = (positions == 0).cumsum(dim=1)
    same = number[:, :, None] == number[:, None, :]
    return same.tril()[:, None]


def stand_in(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: Any, **told: Any
) -> torch.Tensor:
    """Of shape (rows, tokens, heads, width)."""
    kind = told["target_dtype"] or query.dtype
    if kind == torch.float32 or not query.is_cuda:
        raise RuntimeError(
            f"FlashAttention only support fp16 and bf16 data type, not {kind} on {query.device}"
        )
    rows, tokens, heads, _ = query.shape
    q, k, v = (each.transpose(1, 2).to(kind) for each in (query, key, value))
    k, v = (each.repeat_interleave(heads // each.shape[1], dim=1) for each in (k, v))
    positions = told.get("position_ids")
    if positions is None or positions.shape[1] != k.shape[2]:
        positions = torch.arange(k.shape[2], device=query.device).expand(rows, -1)
    sees = documents(positions)[:, :, -tokens:]
    return scaled_dot_product_attention(q, k, v, attn_mask=sees).transpose(1, 2)


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kernels, "FLASH", {name: lambda: True for name in kernels.FLASH})
    monkeypatch.setattr(PreTrainedModel, "_flash_attn_import_error", lambda *_, **__: None)
    monkeypatch.setattr(modeling_utils, "lazy_import_flash_attention", lambda *_, **__: None)
    monkeypatch.setattr(flash_attention, "_flash_attention_forward", stand_in)
    with pretended_gpu(monkeypatch):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("flash")
def test_packed_weights_of_32_bit_are_tried_and_trained_in_16(make_job: MakeJob, tiny_model: Path) -> None:
    spec = {
        "model": FLASH | {"path": str(tiny_model)},
        "dataset": {"packing": True},
        "training": {"maxSteps": 1},
        "checkpoints": {"everySteps": 0},
        "resources": {"accelerators": {"perNode": 1}},
        "distributed": {"backend": "gloo"},
    }
    assert train(make_job(spec).model_copy(update={"device": "cuda"})).outcome == "succeeded"


def test_a_model_is_tried_where_it_will_compute_and_whole() -> None:
    layer = torch.nn.Linear(2, 2)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert computes_now(layer, cpu)
    assert computes_now(layer, None)
    assert not computes_now(layer, cuda), "DeepSpeed will move it"
    layer.bias.ds_id = 1
    assert not computes_now(layer, cpu), "ZeRO-3 has shared it out"


class Asked(Exception):
    """What a base would be loaded with."""


@pytest.mark.parametrize(
    ("trained_with", "tried_with"), [("flash_attention_2", "auto"), ("sdpa", "sdpa"), ("eager", "eager")]
)
def test_an_adapter_is_tried_without_flash_attention_which_takes_no_32_bit_and_no_cpu(
    make_job: MakeJob, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, trained_with: str, tried_with: str
) -> None:
    def load(model: ModelSpec, *_: object) -> None:
        raise Asked(model.attention)

    monkeypatch.setattr(reload, "load_base", load)
    # GPUs hold what is not quantized of such a base in 32 bit
    spec = {
        "model": {"path": str(tiny_model), "attention": trained_with},
        "method": {"type": "qlora"},
        "quantization": {"type": "nf4"},
    }
    base = str(tiny_model)
    with pytest.raises(Asked, match=tried_with):
        reload.reload_trained(make_job(spec).spec, Start(base, base), tiny_model, "bf16")
