"""The merged model computes what base and adapter compute, or it is refused."""

import errno
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

from finetune_api.method import LoraSpec, MethodSpec
from finetune_api.storage import OutputSpec
from finetune_trainer.errors import InvalidConfigError, OutOfMemoryError, OutputInvalidError, StorageError
from finetune_trainer.methods.decomposition import decompose, make_ordinary
from finetune_trainer.model.quantization import keep_packing
from finetune_trainer.output import merge
from finetune_trainer.output.merge import Base, check_mergeable, merged_precision, rewrite_model, write_merged
from finetune_trainer.output.merge_proof import probe_ids
from finetune_trainer.output.trial import relative_difference

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.filterwarnings(
        # one of the methods below trains a head of its own where the base shares it with the embeddings
        "ignore:Model has `tie_word_embeddings=True`:UserWarning"
    ),
]

# the adapter's product is scaled by 2 in each, 8 / 4, but by 4 for rslora, 8 / √4: that changes the logits by
# more than their size
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "lora with biases": {"bias": "all"},
    "lora and a whole module": {"modules_to_save": ["lm_head"]},
}


def saved_adapter(base: Path, directory: Path, **settings: Any) -> Path:
    """An adapter with weights that change the model's answers a lot, as training leaves it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    usual = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    config = LoraConfig(**(usual | settings))
    adapted = get_peft_model(model, config)
    changed(adapted).save_pretrained(directory)
    AutoTokenizer.from_pretrained(base).save_pretrained(directory)
    return directory


def outputs(model: Any) -> torch.Tensor:
    ids = probe_ids(model.config.get_text_config().vocab_size)
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids).logits
    return found.double()


def logits(model: Any) -> torch.Tensor:
    """Computed in 64 bit, so that the weights' rounding shows and not that of the sums."""
    return outputs(deepcopy(model).double())


def write(base: Path, adapter: Path, target: Path, precision: Any = "fp32", shard_bytes: int = 10**9) -> None:
    write_merged(Base(str(base)), adapter, target, precision=precision, shard_bytes=shard_bytes, device=CPU)


@pytest.mark.parametrize(
    "method", ["lora", *(pytest.param(name, marks=pytest.mark.slow) for name in list(METHODS)[1:])]
)
def test_a_merged_model_computes_what_base_and_adapter_compute(
    tiny_model: Path, tmp_path: Path, method: str
) -> None:
    adapter = saved_adapter(tiny_model, tmp_path / "adapter", **METHODS[method])
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    before = logits(base)
    expected = logits(PeftModel.from_pretrained(base, adapter))
    assert relative_difference(before, expected) > 0.1, "the adapter must change something"
    for precision, bound in (("fp32", 1e-5), ("bf16", 4e-2), ("fp16", 5e-3)):
        target = tmp_path / precision
        write(tiny_model, adapter, target, precision)
        stored = load_file(target / "model.safetensors")
        assert {tensor.dtype for tensor in stored.values()} == {merge.DTYPES[precision]}
        merged = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
        assert relative_difference(logits(merged), expected) < bound, precision
        assert len(AutoTokenizer.from_pretrained(target)) == merged.config.vocab_size


def test_a_merged_model_ends_where_its_template_closes_a_turn(tiny_model: Path, tmp_path: Path) -> None:
    adapter = saved_adapter(tiny_model, tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + '<|im_start|>' }}{% endfor %}"
    tokenizer.save_pretrained(adapter)
    write(tiny_model, adapter, tmp_path / "merged")
    ends = GenerationConfig.from_pretrained(tmp_path / "merged").eos_token_id
    assert set(ends) == {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_start|>")}


def changed(model: Any) -> Any:
    """An adapted model after something like training, which changes what it answers."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def merged_logits(base: Path, adapter: Path, target: Path) -> torch.Tensor:
    """Of the merged model in fp32, loaded from its files."""
    AutoTokenizer.from_pretrained(base).save_pretrained(adapter)
    write(base, adapter, target)
    return logits(AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32))


@pytest.mark.slow
def test_a_merged_pissa_computes_what_the_rest_of_the_base_and_its_adapter_compute(
    tiny_model: Path, tmp_path: Path
) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    before = logits(base)
    method = MethodSpec(type="pissa", lora=LoraSpec(rank=4, alpha=8))
    decompose(base, method, 0, None, tmp_path / "start")
    rest = AutoModelForCausalLM.from_pretrained(tmp_path / "start" / "base", dtype=torch.float32)
    adapted = PeftModel.from_pretrained(rest, tmp_path / "start" / "adapter", is_trainable=True)
    assert relative_difference(before, logits(adapted)) < 1e-5, "it starts as the base"
    expected = logits(changed(adapted))
    assert relative_difference(before, expected) > 0.1, "training must change something"
    adapted.save_pretrained(tmp_path / "adapter")
    make_ordinary(tmp_path / "adapter", tmp_path / "start" / "adapter", str(tiny_model))
    found = merged_logits(tiny_model, tmp_path / "adapter", tmp_path / "merged")
    assert relative_difference(found, expected) < 1e-5


@pytest.mark.slow
def test_an_adapter_of_a_4_bit_base_is_merged_into_the_base_as_it_was_before(
    tiny_model: Path, tmp_path: Path
) -> None:
    """What was trained beside rounded weights is added to the weights themselves: the sum by hand is met
    exactly; what was trained differs by the rounding of the base, which the adapter may multiply."""
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    rounded = AutoModelForCausalLM.from_pretrained(
        tiny_model,
        dtype=torch.float32,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
        ),
    )
    keep_packing(rounded)
    before, rounding = logits(plain), relative_difference(logits(plain), outputs(rounded))
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(0)
    trained = changed(get_peft_model(rounded, config))
    trained.save_pretrained(tmp_path / "adapter")

    products = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            layer = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{layer}.lora_A.weight" in products:
                weight += 8 / 4 * products[f"{layer}.lora_B.weight"] @ products[f"{layer}.lora_A.weight"]
    by_hand = logits(plain)
    assert relative_difference(before, by_hand) > 0.1, "the adapter must change something"

    found = merged_logits(tiny_model, tmp_path / "adapter", tmp_path / "merged")
    assert relative_difference(found, by_hand) < 1e-5
    assert 0 < rounding < 0.2
    beside_rounded = outputs(trained)
    assert relative_difference(found, beside_rounded) < relative_difference(before, beside_rounded) / 2


def test_merging_rounds_weights_but_not_the_rotary_frequencies(tiny_model: Path, tmp_path: Path) -> None:
    """The model that was merged would otherwise compute something else than the one loaded from its files,
    and a good merge would be refused."""
    adapter = saved_adapter(tiny_model, tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    frequencies = {name: buffer.clone() for name, buffer in base.named_buffers()}
    merged = merge.merged_model(PeftModel.from_pretrained(base, adapter), torch.bfloat16)
    assert {weight.dtype for weight in merged.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in frequencies.values()} == {torch.float32}
    for name, buffer in merged.named_buffers():
        torch.testing.assert_close(buffer, frequencies[name], rtol=0, atol=0)


def test_weights_are_written_in_files_of_the_asked_size(tiny_model: Path, tmp_path: Path) -> None:
    adapter = saved_adapter(tiny_model, tmp_path / "adapter")
    write(tiny_model, adapter, tmp_path / "merged", shard_bytes=60_000)
    sizes = [file.stat().st_size for file in (tmp_path / "merged").glob("*.safetensors")]
    assert len(sizes) > 2
    assert max(sizes) < 70_000
    assert (tmp_path / "merged" / "model.safetensors.index.json").is_file()


def test_a_model_without_the_adapter_is_not_taken_for_a_merged_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = saved_adapter(tiny_model, tmp_path / "adapter")
    monkeypatch.setattr(merge, "merged_model", lambda model, _dtype: model.unload())
    with pytest.raises(OutputInvalidError, match="something else than base and adapter"):
        write(tiny_model, adapter, tmp_path / "merged", "bf16")


def test_an_adapter_that_is_not_finite_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = saved_adapter(tiny_model, tmp_path / "adapter")
    from safetensors.torch import save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(OutputInvalidError, match=r"output\.mergeAdapter"):
        write(tiny_model, adapter, tmp_path / "merged")


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (torch.OutOfMemoryError("out of memory"), OutOfMemoryError),
        (RuntimeError("something else"), OutputInvalidError),
    ],
)
def test_a_merge_that_fails_names_its_cause(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception, told: type[Exception]
) -> None:
    adapter = saved_adapter(tiny_model, tmp_path / "adapter")

    def fails(*_args: Any) -> None:
        raise cause

    monkeypatch.setattr(merge, "merged_model", fails)
    with pytest.raises(told):
        write(tiny_model, adapter, tmp_path / "merged")


def test_the_type_is_the_base_s_own_or_bf16_or_as_asked(tiny_model: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float16).save_pretrained(tmp_path)
    assert merged_precision("auto", Base(str(tiny_model))) == "bf16"
    assert merged_precision("auto", Base(str(tmp_path))) == "fp16"
    assert merged_precision("fp32", Base(str(tmp_path))) == "fp32"


def test_a_base_that_is_stored_quantized_is_refused_before_training(tiny_model: Path, tmp_path: Path) -> None:
    config = AutoModelForCausalLM.from_pretrained(tiny_model).config
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    config.save_pretrained(tmp_path)
    asked = OutputSpec(merge_adapter=True)
    with pytest.raises(InvalidConfigError, match="stored quantized"):
        check_mergeable(asked, Base(str(tmp_path)))
    check_mergeable(OutputSpec(), Base(str(tmp_path)))
    check_mergeable(asked, Base(str(tiny_model)))


def test_a_whole_model_is_written_again_in_another_type_and_in_smaller_files(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    model.save_pretrained(tmp_path / "model")
    rewrite_model(tmp_path / "model", precision="fp32", shard_bytes=10**9)
    assert [file.name for file in (tmp_path / "model").glob("*.safetensors")] == ["model.safetensors"]
    rewrite_model(tmp_path / "model", precision="bf16", shard_bytes=30_000)
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 2
    assert not (tmp_path / "model" / "model.safetensors").exists()
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto")
    assert again.dtype == torch.bfloat16
    assert relative_difference(logits(again.float()), logits(model)) < 2e-2
