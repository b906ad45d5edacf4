"""LlamaFarm's strategies: a fine_tuner of type pytorch or llamafactory."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import arguments, llamafactory, rules
from finetune_cli.foreign.rules import Choice, Left, Mapped, Read, Table, To, flag, switch

NAME: Final = "llamafarm"

_DEVICE = "an option for one kind of device: finetune presets has nvidia-gpu, apple-silicon and cpu-only"


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return bool({"components", "fine_tuner", "strategies"} & set(document))


def block(document: Mapping[str, Any], prefix: str = "") -> tuple[str, Mapping[str, Any]] | None:
    """Return where the fine_tuner's config is (`components.fine_tuner.`), and the fine_tuner."""
    for key, value in document.items():
        if key == "fine_tuner" and isinstance(value, Mapping):
            return f"{prefix}fine_tuner.", value
        if isinstance(value, Mapping) and (found := block(value, f"{prefix}{key}.")):
            return found
    return None


_PYTORCH: Final[Table] = {
    "base_model.huggingface_id": Read(rules.model),
    "base_model.cache_dir": Left("downloads are kept on model.cache.claimName"),
    "base_model.torch_dtype": Choice("model.loadPrecision", arguments.DTYPES),
    "base_model.load_in_8bit": flag({"quantization.type": "int8"}, weak=True),
    "base_model.load_in_4bit": flag({"quantization.type": "nf4"}, weak=True),
    "base_model.device_map": Left("each rank takes its own device"),
    "base_model.trust_remote_code": To("model.trustRemoteCode"),
    "base_model.use_auth_token": Left("secrets do not stand in manifests: name one in model.tokenSecret"),
    "method.type": Choice("method.type", {"lora": "lora", "qlora": "qlora", "full": "full"}),
    "method.r": To("method.lora.rank"),
    "method.alpha": To("method.lora.alpha"),
    "method.lora_alpha": To("method.lora.alpha"),
    "method.dropout": To("method.lora.dropout"),
    "method.lora_dropout": To("method.lora.dropout"),
    "method.target_modules": rules.listed("method.lora.targetModules"),
    "method.bias": Choice("method.lora.bias", arguments.BIAS),
    "method.modules_to_save": rules.listed("method.lora.modulesToSave"),
    "method.layers_to_transform": rules.listed("method.lora.layersToTransform"),
    "method.layers_pattern": To("method.lora.layersPattern"),
    "method.quantization.load_in_4bit": flag({"quantization.type": "nf4"}, weak=True),
    "method.quantization.bnb_4bit_compute_dtype": Choice("quantization.computeType", arguments.DTYPES),
    "method.quantization.bnb_4bit_quant_type": Choice("quantization.type", {"nf4": "nf4", "fp4": "fp4"}),
    "method.quantization.bnb_4bit_use_double_quant": To("quantization.doubleQuantization"),
    **{f"training.{key}": rule for key, rule in arguments.TRAINER.items()},
    "training.batch_size": To("training.microBatchSize"),
    "training.num_epochs": To("training.epochs"),
    "training.optimizer": Choice("training.optimizer", arguments.OPTIMIZERS),
    "training.use_flash_attention": switch("model.attention", "flash_attention_2", "sdpa"),
    "training.compute_metrics": flag({"evaluation.metrics": ["perplexity", "tokenAccuracy"]}),
    "training.early_stopping": flag({"training.earlyStopping.patience": 3}, weak=True),
    "training.early_stopping_patience": To("training.earlyStopping.patience"),
    "training.early_stopping_threshold": To("training.earlyStopping.threshold"),
}

_DEVICE_KEYS: Final = {
    "cuda": ("use_flash_attention", "use_bf16", "gradient_checkpointing", "optim", "per_device_batch_size"),
    "mps": ("use_cpu_offload", "torch_dtype", "per_device_batch_size", "gradient_accumulation_steps"),
    "cpu": ("torch_dtype", "per_device_batch_size", "gradient_accumulation_steps", "use_ipex"),
}

_AROUND: Final[Table] = {
    "type": Read(
        lambda value: Mapped(
            {"training.engine": "llamafactory" if value == "llamafactory" else "transformers"}
        )
    ),
    **{
        f"config.optimization.{device}.{key}": Left(_DEVICE)
        for device, keys in _DEVICE_KEYS.items()
        for key in keys
    },
}


def table(fine_tuner: Mapping[str, Any]) -> Table:
    """Return the table for a fine_tuner of this type."""
    inner = (
        llamafactory.TABLE if fine_tuner.get("type") == "llamafactory" else _without_what_is_off(fine_tuner)
    )
    return {**_AROUND, **{f"config.{key}": rule for key, rule in inner.items()}}


def _without_what_is_off(fine_tuner: Mapping[str, Any]) -> Table:
    """The table of the PyTorch tuner, in which settings of early stopping say nothing where it is off."""
    config = fine_tuner.get("config")
    training = config.get("training") if isinstance(config, Mapping) else None
    if not isinstance(training, Mapping) or training.get("early_stopping") is not False:
        return _PYTORCH
    keys = ("training.early_stopping_patience", "training.early_stopping_threshold")
    return {**_PYTORCH, **dict.fromkeys(keys, Left("early_stopping is off"))}
