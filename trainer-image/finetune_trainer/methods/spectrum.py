"""Spectrum: per type of module, the layers whose weights hold the most signal are trained in full.

After Hartford et al. 2024, «Spectrum: Targeted Training on Signal to Noise Ratio» (arXiv:2406.06623), where
singular values above the edge of Marchenko and Pastur's distribution count as signal.
"""

import json
import logging
import math
import re
from collections import defaultdict
from pathlib import Path

import torch

from finetune_api.method import SpectrumSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.layers import check_layers, decoder_layers

log = logging.getLogger(__name__)

NORMAL_INTERQUARTILE_RANGE = 1.349
"""Of a normal distribution with a standard deviation of 1."""


def signal_to_noise(weight: torch.Tensor) -> float:
    """The singular values above σ(1 + √β), summed, over the sum of those below, divided by the largest one.

    `weight` has two dimensions; β is the smaller over the larger, and σ comes from the interquartile range of
    the singular values. A matrix without noise has the largest ratio that a float can hold.
    """
    values = torch.linalg.svdvals(weight.detach().float())
    quartiles = torch.quantile(values, torch.tensor([0.25, 0.75], device=values.device))
    sigma = float(quartiles[1] - quartiles[0]) / NORMAL_INTERQUARTILE_RANGE
    edge = sigma * (1 + math.sqrt(min(weight.shape) / max(weight.shape)))
    signal, noise, largest = (float(part) for part in (_above(values, edge), _below(values, edge), values[0]))
    if largest == 0:
        return 0.0
    return signal / noise / largest if noise else math.nextafter(math.inf, 0)


def _above(values: torch.Tensor, edge: float) -> torch.Tensor:
    return values[values > edge].sum()


def _below(values: torch.Tensor, edge: float) -> torch.Tensor:
    return values[values <= edge].sum()


def scan(model: torch.nn.Module) -> dict[str, float]:
    """The signal-to-noise ratio of each weight matrix in the model's layers, by parameter name."""
    layers = tuple(f"{layer}." for layer in decoder_layers(model))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrices = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and name.startswith(layers)
    }
    log.info("measuring the signal in %d matrices", len(matrices))
    return {name: signal_to_noise(matrix.to(device)) for name, matrix in matrices.items()}


def spectrum(model: torch.nn.Module, spec: SpectrumSpec, measured: Path | None) -> None:
    """Leaves gradients to the chosen matrices alone. Raises `InvalidConfigError` for layers or types of
    modules that the model does not have."""
    layers = decoder_layers(model)
    matrices = {
        name: layers[layer]
        for name, parameter in model.named_parameters()
        for layer in layers
        if name.startswith(f"{layer}.") and len(getattr(parameter, "ds_shape", parameter.shape)) == 2
    }
    types = _types(matrices, layers, spec.module_patterns)
    check_layers(spec.layers, len(layers), "method.spectrum.layers")
    if spec.layers:
        chosen = {name for names in types.values() for name in names if matrices[name] in spec.layers}
    elif measured is None:
        raise AssertionError("the model is measured before it is loaded for training")
    else:
        chosen = best(types, json.loads(measured.read_text(encoding="utf-8")), spec.top_fraction)
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name in chosen:
            parameter.requires_grad_(True)


def best(types: dict[str, list[str]], ratios: dict[str, float], fraction: float) -> set[str]:
    """For each type of module, the names with the highest ratios: that share of them, one at least."""
    chosen: set[str] = set()
    for names in types.values():
        ranked = sorted(names, key=lambda name: (-ratios[name], name))
        chosen |= set(ranked[: max(1, round(fraction * len(ranked)))])
    return chosen


def _types(matrices: dict[str, int], layers: dict[str, int], patterns: list[str]) -> dict[str, list[str]]:
    """The matrices by type, which is their name within the layer; those types alone that a pattern
    matches."""
    types: dict[str, list[str]] = defaultdict(list)
    for name in matrices:
        layer = next(layer for layer in layers if name.startswith(f"{layer}."))
        types[name.removeprefix(f"{layer}.").removesuffix(".weight")].append(name)
    if not patterns:
        return types
    unmatched = [text for text in patterns if not any(re.search(text, kind) for kind in types)]
    if unmatched:
        raise InvalidConfigError(
            f"method.spectrum.modulePatterns: {unmatched} match none of this model's types of modules. Use "
            f"patterns for {', '.join(sorted(types))}"
        )
    return {kind: names for kind, names in types.items() if any(re.search(text, kind) for text in patterns)}
