"""The decoder layers of a model, by number, and names that must be those of its modules."""

from collections.abc import Callable, Iterable, Mapping

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


def module_names(model: torch.nn.Module) -> dict[str, bool]:
    """The full name of each module, and whether it has weights of its own."""
    return {
        name: any(True for _ in module.parameters(recurse=False))
        for name, module in model.named_modules()
        if name
    }


def check_names(
    names: Mapping[str, bool],
    wanted: Iterable[str],
    field: str,
    matches: Callable[[str, str], bool] | None = None,
) -> None:
    """Raises `InvalidConfigError` for a name that is none of a model's `module_names`, nor the end of one.

    `matches` says of a module's full name and a name that is asked for whether they belong together, where a
    library has another way. The libraries pass over names that match nothing, as long as another one does.
    """
    matches = matches or is_end_of
    unknown = [each for each in wanted if not any(matches(name, each) for name in names)]
    if unknown:
        own = {name.rpartition(".")[2] for name, has_weights in names.items() if has_weights}
        raise InvalidConfigError(
            f"{field}: the model has no module named {', '.join(unknown)}. Use names such as "
            f"{', '.join(sorted(own))}"
        )


def is_end_of(name: str, wanted: str) -> bool:
    """Whether a module's full name is the wanted one, or ends with it."""
    return f".{name}".endswith(f".{wanted}")
