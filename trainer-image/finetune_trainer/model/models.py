"""The model: loaded or made from scratch, and what of it is trained."""

import logging
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, QuantoConfig, set_seed

from finetune_api.job import FineTuneJobSpec
from finetune_api.model import ArchitectureSpec, ModelSpec
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.files import save_model
from finetune_trainer.hub_trouble import hub_trouble
from finetune_trainer.model.heads import LANGUAGE, Head, add_extra
from finetune_trainer.model.kernels import attention
from finetune_trainer.model.memory import straight_to
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.model.quantization import keep_packing
from finetune_trainer.model.tokenizers import Tokenizer

log = logging.getLogger(__name__)

_NAMES = {"gemma3": "gemma3_text"}
"""Families whose text model has another name in transformers."""

_SIXTEEN_BIT = (torch.float16, torch.bfloat16)

LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    ImportError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
"""What the libraries raise for a model that is missing, broken, or of a kind they do not know."""


def create_base(spec: ArchitectureSpec, tokenizer: Tokenizer, directory: Path, seed: int) -> None:
    """Writes a new model with random weights, and its tokenizer, to a directory.

    Every rank then loads these same files, so that the start is the same on any number of ranks and ZeRO
    stages. Raises `InvalidConfigError` for sizes that do not go together.
    """
    vocabulary = spec.vocab_size or len(tokenizer)
    if vocabulary < len(tokenizer):
        raise InvalidConfigError(
            f"model.config.vocabSize: {vocabulary} is less than the tokenizer's {len(tokenizer)} tokens. "
            "Leave it out, or give at least that"
        )
    shape = gpt2_shape(spec) if spec.architecture == "gpt2" else rotary_shape(spec)
    try:
        config = AutoConfig.for_model(
            _NAMES.get(spec.architecture, spec.architecture),
            vocab_size=vocabulary,
            tie_word_embeddings=spec.tie_word_embeddings,
            initializer_range=spec.initializer_range,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **shape,
        )
        set_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (TypeError, *LOAD_ERRORS) as error:
        raise InvalidConfigError(
            f"model.config: this {spec.architecture} cannot be built: {error}"
        ) from error
    save_model(model, directory)
    tokenizer.save_pretrained(directory)
    log.info("made a %s of %.1f M parameters", spec.architecture, model.num_parameters() / 1e6)


def rotary_shape(spec: ArchitectureSpec) -> dict[str, Any]:
    """The settings of the families with rotary positions, grouped-query attention and RMS norms."""
    rope = {"rope_type": "default", "rope_theta": spec.rope_theta}
    return {
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.attention_heads,
        "num_key_value_heads": spec.key_value_heads or spec.attention_heads,
        "intermediate_size": spec.intermediate_size or 4 * spec.hidden_size,
        "max_position_embeddings": spec.max_position_embeddings,
        "rope_parameters": {"full_attention": rope} if spec.architecture == "gemma3" else rope,
        "rms_norm_eps": spec.norm_epsilon,
        **({"attention_dropout": spec.dropout} if spec.dropout else {}),
        **_heads(spec),
        **_experts(spec),
    }


def _heads(spec: ArchitectureSpec) -> dict[str, Any]:
    """The size of a head, where the spec says it or transformers has a size of its own for the family."""
    size = spec.head_dimension or spec.hidden_size // spec.attention_heads
    scale = {"query_pre_attn_scalar": size} if spec.architecture in ("gemma2", "gemma3") else {}
    own = spec.architecture in ("qwen3", "gemma", "gemma2", "gemma3")
    return {"head_dim": size, **scale} if own or spec.head_dimension else {}


def _experts(spec: ArchitectureSpec) -> dict[str, Any]:
    if not spec.has_experts:
        return {}
    return {"num_local_experts": spec.expert_count, "num_experts_per_tok": spec.active_experts}


def gpt2_shape(spec: ArchitectureSpec) -> dict[str, Any]:
    """The settings of GPT-2, which has names of its own, and learned positions instead of rotary ones."""
    return {
        "n_embd": spec.hidden_size,
        "n_layer": spec.layers,
        "n_head": spec.attention_heads,
        "n_inner": spec.intermediate_size,
        "n_positions": spec.max_position_embeddings,
        "layer_norm_epsilon": spec.norm_epsilon,
        "attn_pdrop": spec.dropout,
        "embd_pdrop": spec.dropout,
        "resid_pdrop": spec.dropout,
    }


def load_base(
    spec: ModelSpec,
    place: str,
    dtype: torch.dtype,
    quantization: Any | None = None,
    head: Head = LANGUAGE,
    device: torch.device | None = None,
) -> PreTrainedModel:
    """The base model from a directory or the hub, every weight of it but a head that it does not have.

    `quantization` is transformers' configuration for it; without one the weights are as they were stored,
    which is also what an adapter is merged into. `device` is where they will be; None: in the host's memory,
    or where a quantizer puts them. Raises `ModelLoadError`.
    """
    # optimum-quanto packs in the host's memory
    packs = isinstance(quantization, QuantoConfig)
    try:
        model, report = head.loader.from_pretrained(
            place,
            **head.settings,
            revision=spec.revision or "main",
            dtype=dtype,
            attn_implementation=attention(spec.attention),
            trust_remote_code=spec.trust_remote_code,
            output_loading_info=True,
            **({"quantization_config": quantization} if quantization is not None else {}),
            **straight_to(None if packs else device),
        )
    except LOAD_ERRORS as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        trouble = hub_trouble(error, f"model.id: {place}", ModelLoadError) if place == spec.id else None
        if trouble is not None:
            raise trouble from error
        raise ModelLoadError(f"model: {place} does not load: {error}") from error
    missing = [key for key in report["missing_keys"] if not key.startswith(head.fresh)]
    missing += [str(key) for key in report["mismatched_keys"]]
    if missing:
        raise ModelLoadError(
            f"model: {place} lacks {len(missing)} weights of its architecture ({', '.join(missing[:3])}, …): "
            "they would start at random. Check that the directory holds the whole model"
        )
    add_extra(model, head)
    keep_packing(model)
    return cast(PreTrainedModel, model)


def load_dtype(spec: FineTuneJobSpec, precision: Precision) -> torch.dtype:
    """The type in which weights are loaded: fp32 where they are trained, whatever the checkpoint's own type
    is, since updates of a bf16 weight are lost in rounding; fp32 also for what is not quantized of a
    quantized base (embeddings, norms, head), as PEFT's `prepare_model_for_kbit_training` has it."""
    if spec.model.load_precision != "auto":
        return DTYPES[spec.model.load_precision]
    keeps_type = spec.method.uses_adapters and spec.quantization.type == "none"
    return DTYPES[precision if keeps_type else "fp32"]


def train_in_fp32(model: torch.nn.Module) -> None:
    """Holds what is trained in fp32 where the rest of the model has 16 bit, as PEFT does with the adapters'
    matrices: modules that are saved whole, the score of a reward model, and biases.

    Loss scaling (fp16) refuses 16-bit gradients, and updates of a 16-bit weight are lost in rounding. ZeRO-3
    keeps fp32 copies of its own.
    """
    for weight in model.parameters():
        if weight.requires_grad and weight.dtype in _SIXTEEN_BIT and not hasattr(weight, "ds_id"):
            weight.data = weight.data.float()


def check_fit(model: PreTrainedModel, tokenizer: Tokenizer, max_sequence_length: int) -> None:
    """Raises `ModelLoadError` for a tokenizer with more tokens than the model, `InvalidConfigError` for
    sequences longer than the model's positions."""
    vocabulary = model.config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise ModelLoadError(
            f"model.tokenizer: it has {len(tokenizer)} tokens, the model knows {vocabulary}. Use the model's "
            "own"
        )
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and positions < max_sequence_length:
        raise InvalidConfigError(
            f"training.maxSequenceLength: {max_sequence_length} is more than the {positions} positions of "
            f"the model. Use at most {positions}"
        )


def trained_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """Number of trained weights and of all weights."""
    trained = total = 0
    for parameter in model.parameters():
        count = weight_count(parameter)
        total += count
        trained += count if parameter.requires_grad else 0
    return trained, total


def weight_count(parameter: torch.Tensor) -> int:
    """Number of weights in a parameter, also where ZeRO-3 has taken it apart, and where bitsandbytes has
    packed two weights into each byte."""
    count = int(getattr(parameter, "ds_numel", parameter.numel()))
    storage = getattr(parameter, "quant_storage", None)
    return count if storage is None else 2 * count * int(storage.itemsize)
