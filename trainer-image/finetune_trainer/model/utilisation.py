"""Model FLOPs utilisation: how much of the device's arithmetic the training itself makes use of."""

import re
from dataclasses import dataclass
from typing import Final

import torch
from transformers.pytorch_utils import Conv1D

from finetune_api.hardware.accelerators import find_accelerator
from finetune_trainer.model.models import weight_count

KINDS: Final[dict[str, str | None]] = {
    # a slice's share of the device is not told
    "MIG": None,
    # fewer or slower units than what has the rest of the name
    "H100 NVL": None,
    "B200": "b200",
    "H200": "h200",
    "H100 PCIe": "h100-pcie",
    "H100": "h100-80gb",
    "A100": "a100-80gb",
    "L40S": "l40s",
    "L4": "l4",
    "A10G": "a10g",
    "RTX A6000": "a6000",
    "RTX 5090": "rtx5090",
    "RTX 4090": "rtx4090",
    "RTX 3090": "rtx3090",
    "T4": "t4",
}
"""By words of a device's name, its name in the catalog, whose peak of 16-bit arithmetic counts. The first
whose words are all there decides; None, and names that are not here: the peak is not known."""


@dataclass(frozen=True)
class Workload:
    """What one token costs, forward and backward."""

    matrix_weights: int
    """Weights that a token is multiplied with: all but embeddings that are looked up, norms and biases; of
    experts those of the ones that a token is sent to."""
    trained_matrix_weights: int
    layers: int
    attention_width: int
    """Width of all query heads together."""

    def flops_per_token(self, tokens_per_document: float) -> float:
        """2 FLOP per weight forward, 2 for the gradient of the activations, 2 for that of a trained weight;
        causal attention: 2 · S · L · d forward, twice that backward (Korthikanti et al. 2022, without what
        checkpointing computes again)."""
        weights = 4 * self.matrix_weights + 2 * self.trained_matrix_weights
        return weights + 3 * 2 * tokens_per_document * self.layers * self.attention_width


def workload(model: torch.nn.Module) -> Workload:
    """What a transformers model costs per token, adapters included, also where ZeRO-3 has taken weights
    apart."""
    config = getattr(model, "config").get_text_config()  # noqa: B009 - torch types attributes as tensors
    used: int | None = getattr(config, "num_experts_per_tok", None)
    shares: dict[torch.Tensor, float] = {}
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            shares[module.weight] = 1.0
        elif used is not None:
            experts = [weight for weight in module.parameters(recurse=False) if len(_shape(weight)) == 3]
            shares |= {weight: used / _shape(weight)[0] for weight in experts}
    counts = {weight: round(share * weight_count(weight)) for weight, share in shares.items()}
    trained = sum(count for weight, count in counts.items() if weight.requires_grad)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = config.num_attention_heads * head_dim
    return Workload(sum(counts.values()), trained, config.num_hidden_layers, width)


def _shape(weight: torch.Tensor) -> torch.Size:
    """Also where ZeRO-3 has taken the weight apart."""
    return getattr(weight, "ds_shape", weight.shape)


def peak_flops(device: torch.device, *, sixteen_bit: bool) -> float | None:
    """The device's peak in FLOP/s; None where it is not known, for 32-bit arithmetic and on CPU."""
    if device.type != "cuda" or not sixteen_bit:
        return None
    words = set(re.findall(r"\w+", torch.cuda.get_device_name(device)))
    kind = next((kind for key, kind in KINDS.items() if words.issuperset(key.split())), None)
    found = find_accelerator(kind) if kind is not None else None
    return 1e12 * found.tflops["fp16"] if found is not None else None


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
    tokens_per_document: float,
) -> Utilisation | None:
    """How to tell the utilisation of a run; None where the device's peak is not known."""
    peak = peak_flops(device, sixteen_bit=sixteen_bit)
    if peak is None:
        return None
    return Utilisation(workload(model).flops_per_token(tokens_per_document), peak * ranks)
