"""Model FLOPs utilisation: how much of the device's arithmetic the training itself makes use of."""

from dataclasses import dataclass

import torch

from finetune_trainer.models import weight_count

PEAK_FLOPS: dict[str, float] = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
    "L4": 121e12,
}
"""Peak of dense 16-bit arithmetic by a part of the device's name, in FLOP/s, from NVIDIA's data sheets; the
first that fits counts."""


@dataclass(frozen=True)
class Workload:
    """What one token costs, forward and backward."""

    matrix_weights: int
    """Weights that a token is multiplied with: all but embeddings that are looked up, norms and biases."""
    trained_matrix_weights: int
    layers: int
    hidden_size: int

    def flops_per_token(self, tokens_per_sequence: float) -> float:
        """2 FLOP per weight forward, 2 for the gradient of the activations, 2 for that of a trained weight;
        causal attention: 2 · S · L · d forward, twice that backward (Korthikanti et al. 2022, without what
        checkpointing computes again)."""
        weights = 4 * self.matrix_weights + 2 * self.trained_matrix_weights
        return weights + 3 * 2 * tokens_per_sequence * self.layers * self.hidden_size


def workload(model: torch.nn.Module) -> Workload:
    """What a transformers model costs per token, adapters included, also where ZeRO-3 has taken weights
    apart."""
    config = getattr(model, "config").get_text_config()  # noqa: B009 - torch types attributes as tensors
    seen: set[int] = set()
    total = trained = 0
    for module in model.modules():
        if not isinstance(module, torch.nn.Linear) or id(module.weight) in seen:
            continue
        seen.add(id(module.weight))
        count = weight_count(module.weight)
        total += count
        trained += count if module.weight.requires_grad else 0
    return Workload(total, trained, config.num_hidden_layers, config.hidden_size)


def peak_flops(device: torch.device, *, sixteen_bit: bool) -> float | None:
    """The device's peak in FLOP/s; None where it is not known, for 32-bit arithmetic and on CPU."""
    if device.type != "cuda" or not sixteen_bit:
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


@dataclass(frozen=True)
class Utilisation:
    """The run's own arithmetic as a share of the peak of all its devices."""

    flops_per_token: float
    peak: float
    """FLOP/s of all ranks together."""

    def share(self, tokens_per_second: float) -> float:
        """Between 0 and 1, for so many real tokens per second over all ranks."""
        return tokens_per_second * self.flops_per_token / self.peak


def utilisation(
    model: torch.nn.Module,
    device: torch.device,
    *,
    sixteen_bit: bool,
    ranks: int,
    tokens_per_sequence: float,
) -> Utilisation | None:
    """How to tell the utilisation of a run; None where the device's peak is not known."""
    peak = peak_flops(device, sixteen_bit=sixteen_bit)
    if peak is None:
        return None
    return Utilisation(workload(model).flops_per_token(tokens_per_sequence), peak * ranks)
