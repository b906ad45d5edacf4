"""A setting that reaches no layer, or some of them, is not told as if it reached all."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel

from finetune_api import ResolvedJob
from finetune_api.catalog.lookup import from_spec
from finetune_api.estimate.parameters import count_parameters
from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.model import ArchitectureSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods import apply_method
from finetune_trainer.methods.coverage import adapted_share, check_quantized, quantized_share, reach
from finetune_trainer.model.models import load_base, trained_parameters
from finetune_trainer.model.quantization import quantization_config

pytestmark = pytest.mark.filterwarnings(
    # PEFT takes the names of parameters for those of modules
    "ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning",
)

MakeJob = Callable[..., ResolvedJob]


def loaded(job: ResolvedJob) -> Any:
    place = str(job.spec.model.path)
    return load_base(job.spec.model, place, torch.float32, quantization_config(job.spec, "fp32", place))


@pytest.fixture
def job(make_job: MakeJob) -> Callable[..., ResolvedJob]:
    def make(place: Path, quantization: str, **settings: Any) -> ResolvedJob:
        spec = {"type": quantization, **settings}
        return make_job({"model": {"path": str(place)}, "method": {"type": "lora"}, "quantization": spec})

    return make


def test_int4_would_leave_every_layer_of_gpt2_whole(job: Callable[..., ResolvedJob], tiny_gpt2: Path) -> None:
    asked = job(tiny_gpt2, "int4")
    with pytest.raises(
        InvalidConfigError, match=r"int4 reaches no layer .* Conv1D\. Use quantization\.type nf4"
    ):
        check_quantized(loaded(asked), asked.spec)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_bitsandbytes_takes_all_layers_of_gpt2(
    job: Callable[..., ResolvedJob], tiny_gpt2: Path, kind: str
) -> None:
    asked = job(tiny_gpt2, kind)
    model = loaded(asked)
    check_quantized(model, asked.spec)
    assert quantized_share(model) == 1
    assert reach(apply_method(model, asked.spec.method, 1), asked.spec) == {}


@pytest.mark.parametrize("kind", ["int4", "nf4", "int8"])
def test_a_llama_is_quantized_and_adapted_whole(
    job: Callable[..., ResolvedJob], tiny_model: Path, kind: str
) -> None:
    asked = job(tiny_model, kind)
    model = loaded(asked)
    check_quantized(model, asked.spec)
    assert reach(apply_method(model, asked.spec.method, 1), asked.spec) == {}


def test_skipping_every_layer_is_no_quantization(job: Callable[..., ResolvedJob], tiny_gpt2: Path) -> None:
    asked = job(tiny_gpt2, "nf4", skipModules=["c_attn", "c_proj", "c_fc"])
    with pytest.raises(InvalidConfigError, match="or fewer skipModules"):
        check_quantized(loaded(asked), asked.spec)


def test_a_module_to_skip_must_be_there(job: Callable[..., ResolvedJob], tiny_model: Path) -> None:
    asked = job(tiny_model, "nf4", skipModules=["up_proj", "up_prj"])
    with pytest.raises(
        InvalidConfigError, match=r"quantization.skipModules: .* named up_prj. Use names such"
    ):
        check_quantized(loaded(asked), asked.spec)


def test_experts_in_one_parameter_stay_whole_and_get_adapters(
    job: Callable[..., ResolvedJob], tiny_mixtral: Path, tmp_path: Path
) -> None:
    asked = job(tiny_mixtral, "nf4")
    method = asked.spec.method.model_copy(update={"lora": LoraSpec(dropout=0.0, rank=2)})
    model: Any = apply_method(loaded(asked), method, 1)
    # per layer: attention of 4 × 32 × 32, experts of 8 × 3 × 32 × 128, a router of 8 × 32
    share = f"{4096 / (4096 + 98304 + 256):.1%}"
    assert reach(model, asked.spec) == {"quantization": f"nf4 ({share} of the layers' weights)"}
    assert adapted_share(model) == 1
    shape = from_spec(
        ArchitectureSpec(architecture="mixtral", hidden_size=32, layers=2, attention_heads=4), 300
    )
    setup: Any = SimpleNamespace(architecture=shape, method=method, quantization=asked.spec.quantization)
    estimated = count_parameters(setup)
    assert trained_parameters(model)[0] == estimated.adapters
    for name, weight in model.named_parameters():
        if ".lora_B." in name:
            weight.data.normal_(std=0.1)
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7]])
    again = PeftModel.from_pretrained(loaded(asked), tmp_path)
    assert torch.allclose(again(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)


def test_spectrum_says_that_it_passes_over_experts(
    make_job: MakeJob, tiny_model: Path, tiny_mixtral: Path
) -> None:
    # per layer: attention of 4 × 32 × 32 and a router of 8 × 32, beside experts of 8 × 3 × 32 × 128
    share = f"{4352 / (4352 + 98304):.1%}"
    said = {"method": f"spectrum (chooses among {share} of the layers' weights)"}
    for place, expected in ((tiny_mixtral, said), (tiny_model, {})):
        job = make_job({"model": {"path": str(place)}, "method": {"type": "spectrum"}})
        assert reach(loaded(job), job.spec) == expected


@pytest.mark.parametrize(
    ("kind", "lora", "message"),
    [
        ("lora", {}, r"dropout.* set method.lora.dropout to 0, or name the modules of the attention"),
        ("pissa", {"target_modules": ["q_proj", "w1"]}, "pissa starts from matrices"),
        ("pissa", {"dropout": 0.0}, r"initialization: pissa starts from matrices, and .*experts"),
    ],
)
def test_experts_have_the_plainest_of_adapters(
    job: Callable[..., ResolvedJob], tiny_mixtral: Path, kind: Any, lora: dict[str, Any], message: str
) -> None:
    method = MethodSpec(type=kind, lora=LoraSpec(**lora))
    with pytest.raises(InvalidConfigError, match=message):
        apply_method(loaded(job(tiny_mixtral, "none")), method, 1)


def test_experts_are_found_by_the_names_of_linear_layers(
    job: Callable[..., ResolvedJob], tiny_mixtral: Path
) -> None:
    method = MethodSpec(lora=LoraSpec(dropout=0.0, target_modules=["q_proj", "w2"]))
    model = apply_method(loaded(job(tiny_mixtral, "none")), method, 1)
    assert any(".experts.lora_A." in name for name, _ in model.named_parameters())
