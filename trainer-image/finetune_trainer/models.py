"""The model: loaded or made from scratch, and what of it is trained."""

import logging
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, set_seed

from finetune_api.method import ALL_LINEAR, LoraSpec, MethodSpec
from finetune_api.model import ArchitectureSpec, ModelSpec
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.heads import LANGUAGE, Head, add_extra
from finetune_trainer.precision import DTYPES
from finetune_trainer.tokenizers import Tokenizer

log = logging.getLogger(__name__)

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
    dropout = {"attention_dropout": spec.dropout} if spec.dropout else {}
    head = {"head_dim": spec.head_dimension} if spec.head_dimension else {}
    try:
        config = AutoConfig.for_model(
            spec.architecture,
            vocab_size=vocabulary,
            hidden_size=spec.hidden_size,
            num_hidden_layers=spec.layers,
            num_attention_heads=spec.attention_heads,
            num_key_value_heads=spec.key_value_heads or spec.attention_heads,
            intermediate_size=spec.intermediate_size or 4 * spec.hidden_size,
            max_position_embeddings=spec.max_position_embeddings,
            tie_word_embeddings=spec.tie_word_embeddings,
            rope_parameters={"rope_type": "default", "rope_theta": spec.rope_theta},
            rms_norm_eps=spec.norm_epsilon,
            initializer_range=spec.initializer_range,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **dropout,
            **head,
        )
        set_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (TypeError, *LOAD_ERRORS) as error:
        raise InvalidConfigError(
            f"model.config: this {spec.architecture} cannot be built: {error}"
        ) from error
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    log.info("made a %s of %.1f M parameters", spec.architecture, model.num_parameters() / 1e6)


def load_base(spec: ModelSpec, place: str, dtype: torch.dtype, head: Head = LANGUAGE) -> PreTrainedModel:
    """The base model from a directory or the hub, every weight of it but a head that it does not have. Raises
    `ModelLoadError`."""
    try:
        model, report = head.loader.from_pretrained(
            place,
            **head.settings,
            revision=spec.revision or "main",
            dtype=dtype,
            attn_implementation=None if spec.attention == "auto" else spec.attention,
            trust_remote_code=spec.trust_remote_code,
            output_loading_info=True,
        )
    except LOAD_ERRORS as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise ModelLoadError(f"model: {place} does not load: {error}") from error
    missing = [key for key in report["missing_keys"] if not key.startswith(head.fresh)]
    missing += [str(key) for key in report["mismatched_keys"]]
    if missing:
        raise ModelLoadError(
            f"model: {place} lacks {len(missing)} weights of its architecture ({', '.join(missing[:3])}, …): "
            "they would start at random. Check that the directory holds the whole model"
        )
    add_extra(model, head)
    return cast(PreTrainedModel, model)


def load_dtype(spec: ModelSpec, method: MethodSpec, precision: Precision) -> torch.dtype:
    """The type in which weights are loaded: fp32 where they are trained, whatever the checkpoint's own type
    is, since updates of a bf16 weight are lost in rounding."""
    if spec.load_precision != "auto":
        return DTYPES[spec.load_precision]
    return DTYPES[precision if method.uses_adapters else "fp32"]


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


def apply_method(
    model: PreTrainedModel, method: MethodSpec, seed: int, head: Head = LANGUAGE
) -> torch.nn.Module:
    """The model as it is trained: itself (full), or with adapters on a frozen base (lora).

    Raises `InvalidConfigError` for modules that the model does not have.
    """
    if method.type == "full":
        return cast(torch.nn.Module, model)
    if method.type != "lora":
        raise InvalidConfigError(f"method.type: {method.type} is not known to this trainer. Use full or lora")
    from peft import get_peft_model

    set_seed(seed)
    try:
        return cast(torch.nn.Module, get_peft_model(model, lora_config(method.lora, head)))
    except ValueError as error:
        raise InvalidConfigError(f"method.lora: {error}") from error


def lora_config(spec: LoraSpec, head: Head = LANGUAGE) -> Any:
    """PEFT's configuration for the spec."""
    from peft import LoraConfig

    modules = ALL_LINEAR if spec.target_modules == [ALL_LINEAR] else spec.target_modules
    return LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=spec.target_pattern or modules,
        bias="lora_only" if spec.bias == "loraOnly" else spec.bias,
        modules_to_save=[*spec.modules_to_save, *head.extra] or None,
        layers_to_transform=spec.layers_to_transform or None,
        layers_pattern=spec.layers_pattern,
        use_rslora=spec.rank_stabilized,
        init_lora_weights="gaussian" if spec.initialization == "gaussian" else True,
        task_type=head.task,
    )


def trained_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """Number of trained weights and of all weights, also where ZeRO-3 has taken them apart."""
    trained = total = 0
    for parameter in model.parameters():
        count = int(getattr(parameter, "ds_numel", parameter.numel()))
        total += count
        trained += count if parameter.requires_grad else 0
    return trained, total
