"""Some layers are trained in full, the others stay as they are."""

import re

import torch

from finetune_api.method import FreezeSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.layers import check_layers, check_names, decoder_layers, is_end_of, module_names


def freeze(model: torch.nn.Module, spec: FreezeSpec) -> None:
    """Leaves gradients to the chosen layers and extra modules alone. Raises `InvalidConfigError` for a layer,
    a pattern or a module that the model does not have."""
    layers = decoder_layers(model)
    chosen = trained_layers(spec, len(layers))
    patterns = {text: re.compile(text) for text in spec.module_patterns}
    matched: set[str] = set()
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        layer = next((layer for layer in layers if name.startswith(f"{layer}.")), None)
        if layer is None or layers[layer] not in chosen:
            continue
        hits = {text for text, pattern in patterns.items() if pattern.search(name)}
        matched |= hits
        if hits or not patterns:
            parameter.requires_grad_(True)
    for text in patterns.keys() - matched:
        raise InvalidConfigError(
            f"method.freeze.modulePatterns: {text!r} matches no parameter of the layers {sorted(chosen)}"
        )
    check_names(module_names(model), spec.extra_modules, "method.freeze.extraModules")
    for name, module in model.named_modules():
        if any(is_end_of(name, extra) for extra in spec.extra_modules):
            module.requires_grad_(True)


def trained_layers(spec: FreezeSpec, count: int) -> set[int]:
    """Numbers of the trained layers, of so many. Raises `InvalidConfigError`."""
    if spec.layers:
        check_layers(spec.layers, count, "method.freeze.layers")
        return set(spec.layers)
    if spec.trainable_layers > count:
        raise InvalidConfigError(
            f"method.freeze.trainableLayers: {spec.trainable_layers} is more than the model's {count} "
            f"layers. Use at most {count}"
        )
    every = range(count)
    last = spec.from_layer == "last"
    return set(every[-spec.trainable_layers :] if last else every[: spec.trainable_layers])
