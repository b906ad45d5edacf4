"""The decoder layers of a model, by number."""

from collections.abc import Iterable

import torch

from finetune_trainer.errors import InvalidConfigError


def decoder_layers(model: torch.nn.Module) -> dict[str, int]:
    """Full name and number of each decoder layer: the list of modules that is as long as the configuration
    says (`model.layers`, `transformer.h`, …). Raises `InvalidConfigError` where there is none."""
    config = getattr(model, "config").get_text_config()  # noqa: B009 - torch types attributes as tensors
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == config.num_hidden_layers:
            return {f"{name}.{number}": number for number in range(len(module))}
    raise InvalidConfigError(
        f"method.type: this {config.model_type} has no list of {config.num_hidden_layers} layers to choose "
        "from. Use full or lora"
    )


def check_layers(chosen: Iterable[int], count: int, field: str) -> None:
    """Raises `InvalidConfigError` for a layer that the model does not have."""
    beyond = sorted(number for number in chosen if number >= count)
    if beyond:
        raise InvalidConfigError(
            f"{field}: {beyond} are beyond the model's {count} layers. Use numbers from 0 to {count - 1}"
        )
