"""PiSSA, OLoRA, LoftQ: residual and first adapter are the base, and what is exported fits the base."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, PreTrainedModel

from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.model import ModelSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.decomposition import ADAPTER, decompose, make_ordinary
from finetune_trainer.model.models import load_base

pytestmark = pytest.mark.filterwarnings(
    # PEFT says that it saves an adapted embedding's own weights
    "ignore:Setting `save_embedding_layers` to `True`:UserWarning",
    "ignore:Model (has|with) `tie_word_embeddings=True`:UserWarning",
)


IDS = torch.tensor([[5, 6, 7, 8, 9]])

NF4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")


def method(start: Any, **lora: Any) -> MethodSpec:
    return MethodSpec(type="lora", lora=LoraSpec(rank=4, dropout=0.0, initialization=start, **lora))


def base(directory: Path) -> PreTrainedModel:
    return load_base(ModelSpec(path=str(directory)), str(directory), torch.float32)


@pytest.mark.parametrize("start", ["pissa", "olora", "loftq"])
def test_residual_and_adapter_are_the_base(
    model: PreTrainedModel, tiny_model: Path, tmp_path: Path, start: str
) -> None:
    decompose(model, method(start), 1, NF4, tmp_path)
    expected = base(tiny_model)(input_ids=IDS).logits
    residual = base(tmp_path / "base")
    assert not torch.allclose(residual(input_ids=IDS).logits, expected, atol=1e-3)
    both = PeftModel.from_pretrained(residual, tmp_path / "adapter")
    assert torch.allclose(both(input_ids=IDS).logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("start", "quantization"),
    [("pissa", None), ("pissa", NF4), ("olora", None), ("olora", NF4), ("loftq", NF4)],
)
def test_gpt2_whose_weights_lie_the_other_way_round_is_split_too(
    tiny_gpt2: Path, tmp_path: Path, start: str, quantization: Any
) -> None:
    expected = base(tiny_gpt2)(input_ids=IDS).logits
    decompose(base(tiny_gpt2), method(start), 1, quantization, tmp_path)
    both = PeftModel.from_pretrained(base(tmp_path / "base"), tmp_path / "adapter")
    assert torch.allclose(both(input_ids=IDS).logits, expected, atol=1e-4)


def test_a_rank_that_is_not_the_first_writes_residual_and_adapter_too(
    model: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.distributed.mixin._is_torch_distributed_initialized", lambda: True)
    monkeypatch.setattr("transformers.distributed.mixin._get_torch_distributed_rank", lambda: 1)
    decompose(model, method("pissa"), 1, None, tmp_path)
    for written in ("base/config.json", "base/model.safetensors", "adapter/adapter_model.safetensors"):
        assert (tmp_path / written).is_file()


@pytest.mark.parametrize(("iterations", "excess"), [(0, 1e-4), (16, 1e-2)])
def test_pissa_takes_the_largest_singular_values(
    model: PreTrainedModel, tiny_model: Path, tmp_path: Path, iterations: int, excess: float
) -> None:
    decompose(model, method("pissa", pissa_iterations=iterations), 1, None, tmp_path)
    name = "model.layers.0.mlp.up_proj.weight"
    smallest = torch.linalg.svdvals(load_file(tiny_model / "model.safetensors")[name])[4:].square().sum()
    rest = load_file(tmp_path / "base" / "model.safetensors")[name].square().sum()
    assert 1 - 1e-4 < float(rest / smallest) < 1 + excess


@pytest.mark.parametrize("family", ["tiny_model", "tiny_gpt2"])
def test_loftq_starts_nearer_to_the_base_than_plain_quantization(
    request: pytest.FixtureRequest, tmp_path: Path, family: str
) -> None:
    place: Path = request.getfixturevalue(family)
    expected = base(place)(input_ids=IDS).logits
    decompose(base(place), method("loftq"), 1, NF4, tmp_path)

    @torch.no_grad()
    def error(place: Path, adapter: Path | None) -> float:
        loaded: Any = load_base(ModelSpec(path="/m"), str(place), torch.float32, NF4)
        if adapter is not None:
            loaded = PeftModel.from_pretrained(loaded, adapter)
        return float((loaded(input_ids=IDS).logits - expected).square().mean())

    assert error(tmp_path / "base", tmp_path / "adapter") < 0.7 * error(place, None)


@pytest.mark.parametrize("rank_stabilized", [False, True])
def test_what_is_exported_is_an_adapter_for_the_base(
    model: PreTrainedModel, tiny_model: Path, tmp_path: Path, rank_stabilized: bool
) -> None:
    decompose(model, method("pissa", rank_stabilized=rank_stabilized), 1, None, tmp_path)
    trained = PeftModel.from_pretrained(base(tmp_path / "base"), tmp_path / "adapter")
    torch.manual_seed(2)
    for name, weight in trained.named_parameters():
        if ".lora_" in name:
            weight.data += 0.1 * torch.randn_like(weight)
    trained.save_pretrained(tmp_path / "trained")
    make_ordinary(tmp_path / "trained", tmp_path / "adapter", str(tiny_model))

    exported = PeftModel.from_pretrained(base(tiny_model), tmp_path / "trained")
    config = exported.peft_config["default"]
    assert (config.r, config.use_rslora, config.base_model_name_or_path) == (8, False, str(tiny_model))
    expected = trained(input_ids=IDS).logits
    assert torch.allclose(exported(input_ids=IDS).logits, expected, atol=1e-4)


def test_weights_that_are_no_adapter_matrices_are_exported_as_they_are(
    model: PreTrainedModel, tmp_path: Path
) -> None:
    decompose(model, method("pissa", modules_to_save=["embed_tokens"]), 1, None, tmp_path)
    file = tmp_path / "adapter" / ADAPTER
    before = load_file(file)
    (kept,) = [name for name in before if "embed_tokens" in name]
    copy = tmp_path / "copy"
    copy.mkdir()
    save_file(before, copy / ADAPTER)
    (copy / "adapter_config.json").write_bytes((tmp_path / "adapter" / "adapter_config.json").read_bytes())
    make_ordinary(copy, tmp_path / "adapter", "base")
    assert torch.equal(load_file(copy / ADAPTER)[kept], before[kept])


def test_weights_of_the_residual_are_not_exported(model: PreTrainedModel, tmp_path: Path) -> None:
    decompose(model, method("pissa", target_modules=["embed_tokens", "q_proj"]), 1, None, tmp_path)
    adapter = tmp_path / "adapter"
    before = {name for name in load_file(adapter / ADAPTER) if name.endswith("base_layer.weight")}
    assert before
    make_ordinary(adapter, adapter, "base")
    after = load_file(adapter / ADAPTER)
    assert before.isdisjoint(after)
    (embedding,) = [name for name in after if name.endswith("lora_embedding_A")]
    assert len(after[embedding]) == 8


@pytest.mark.parametrize("scale", [1, 8])
def test_a_residual_that_will_be_quantized_is_no_larger_than_the_base(
    model: PreTrainedModel, tiny_model: Path, tmp_path: Path, scale: int
) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    whole = load_file(tiny_model / "model.safetensors")[name].norm()
    decompose(model, method("olora", alpha=4.0 * scale), 1, NF4, tmp_path)
    assert load_file(tmp_path / "base" / "model.safetensors")[name].norm() < whole


@pytest.mark.parametrize("start", ["pissa", "olora", "loftq"])
@pytest.mark.parametrize(
    ("lora", "wrong"),
    [
        ({"rank": 32}, r"method.lora.rank: 32 is more than .*k_proj can be split into: .* is 16"),
        ({"rank": 4, "target_modules": ["lm_head"]}, r"lm_head shares its weights with the input embedding"),
    ],
)
def test_what_can_not_be_split_is_refused(
    model: PreTrainedModel, tmp_path: Path, start: Any, lora: dict[str, Any], wrong: str
) -> None:
    spec = MethodSpec(type="lora", lora=LoraSpec(initialization=start, **lora))
    with pytest.raises(InvalidConfigError, match=wrong):
        decompose(model, spec, 1, NF4, tmp_path)
