"""Adapters that start as a part of the base: PiSSA, OLoRA, LoftQ.

The base is split into an adapter and the rest (the residual), once, from weights that are not quantized.
Both are written to the run directory; every rank and attempt loads the residual, quantized or not, and the
adapter. What is exported is an ordinary adapter for the original base: the trained one minus the first one,
which stacks to twice the rank.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file

from finetune_api.method import MethodSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.files import save_model
from finetune_trainer.methods.adapters import initialization, scaling, with_adapter
from finetune_trainer.model.heads import LANGUAGE, Head, remove_extra

log = logging.getLogger(__name__)

ADAPTER = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
LOFTQ_ITERATIONS = 1
"""As PEFT's default; Li et al. 2023 (arXiv:2310.08659) find little gain in more."""


def decompose(
    model: Any,
    method: MethodSpec,
    seed: int,
    quantization: Any | None,
    directory: Path,
    head: Head = LANGUAGE,
) -> None:
    """Writes `base` (the residual) and `adapter` below a directory, from a model that is not quantized.

    `quantization` is the configuration under which the residual will be loaded, for LoftQ. Raises
    `InvalidConfigError`.
    """
    kind = initialization(method)
    if kind == "pissa":
        rounds = method.lora.pissa_iterations
        adapted: Any = with_adapter(model, method, seed, f"pissa_niter_{rounds}" if rounds else "pissa", head)
    else:
        adapted = with_adapter(model, method, seed, head=head)
    check_rank(adapted, method.lora.rank)
    refuse_shared(adapted)
    if kind == "olora":
        _olora(adapted, scaling(method), once=quantization is not None)
    elif kind == "loftq":
        _loftq(adapted, quantization, scaling(method))
    # what is loaded again must not be computed again
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(directory / "adapter")
    residual = adapted.unload()
    remove_extra(residual, head)
    save_model(residual, directory / "base")
    log.info("split the base into an adapter (%s) and the rest", kind)


def refuse_shared(adapted: torch.nn.Module) -> None:
    """Raises `InvalidConfigError` where a part was to be moved out of a weight that two modules use."""
    from peft.tuners.lora import LoraLayer

    uses = Counter(id(weight) for module in adapted.modules() for weight in module.parameters(recurse=False))
    for name, layer in adapted.named_modules():
        if isinstance(layer, LoraLayer) and layer.lora_A and uses[id(layer.get_base_layer().weight)] > 1:
            raise InvalidConfigError(
                f"method.lora.targetModules: {name} shares its weights with the input embedding, and "
                "method.lora.initialization would move a part of both into the adapter of one. Leave it out, "
                "or use method.lora.initialization default"
            )


def check_rank(adapted: torch.nn.Module, rank: int) -> None:
    """Raises `InvalidConfigError` for a rank that an adapted matrix does not have."""
    from peft.tuners.lora import LoraLayer

    sides = {
        name: min(layer.in_features, layer.out_features)
        for name, layer in adapted.named_modules()
        if isinstance(layer, LoraLayer)
    }
    name, smallest = min(sides.items(), key=lambda item: item[1])
    if rank > smallest:
        raise InvalidConfigError(
            f"method.lora.rank: {rank} is more than {name} can be split into: its smaller side is "
            f"{smallest}. Use at most {smallest}, or method.lora.initialization default"
        )


def _adapted_layers(adapted: torch.nn.Module) -> Iterator[Any]:
    """The linear layers with adapters; those of embeddings start as they always do."""
    from peft.tuners.lora import LoraLayer

    for layer in adapted.modules():
        if isinstance(layer, LoraLayer) and "default" in layer.lora_A:
            yield layer


def _turned(weight: torch.Tensor, layer: Any) -> torch.Tensor:
    """A weight as (outputs, inputs), or back: GPT-2's layers (Conv1D) hold (inputs, outputs)."""
    return weight.T if layer.fan_in_fan_out else weight


@torch.no_grad()
def _olora(adapted: Any, scale: float, *, once: bool) -> None:
    """OLoRA (Büyükakyüz 2024, arXiv:2406.01775): B and A are the first columns and rows of W = QR.

    s·QR is taken out of the weights, as PEFT does it: with a scale s above 2, what is left is larger than
    what was there, and rounded so much coarser on a quantized base that the model would not start as that
    base. `once` takes QR out, whatever the scale: A is divided by it. PEFT's own function takes GPT-2's
    weights for those of a linear layer, which lie the other way round.
    """
    for layer in _adapted_layers(adapted):
        base, rank = layer.get_base_layer().weight, layer.r["default"]
        weight = _turned(base.detach().float(), layer)
        q, r = torch.linalg.qr(weight)
        first, second = r[:rank] / (scale if once else 1), q[:, :rank]
        layer.lora_A["default"].weight.copy_(first)
        layer.lora_B["default"].weight.copy_(second)
        base.data = _turned(weight - scale * second @ first, layer).contiguous().to(base.dtype)


@torch.no_grad()
def _loftq(adapted: Any, quantization: Any, scale: float) -> None:
    """Alternates between quantizing what the adapter leaves over, and fitting the adapter to the error (Li et
    al. 2023, algorithm 1). PEFT's own function needs a GPU for 4 bit, and stores unpacked weights."""
    for layer in _adapted_layers(adapted):
        base, rank = layer.get_base_layer().weight, layer.r["default"]
        weight = _turned(base.detach().float(), layer)
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        product = torch.zeros_like(weight)
        for _ in range(LOFTQ_ITERATIONS):
            error = weight - _as_quantized(weight - product, quantization)
            left, values, right = torch.linalg.svd(error, full_matrices=False)
            root = (values[:rank] / scale).sqrt()
            a.copy_(root[:, None] * right[:rank])
            b.copy_(left[:, :rank] * root)
            product = scale * b.float() @ a.float()
        base.data = _turned(weight - product, layer).contiguous().to(base.dtype)


def _as_quantized(weight: torch.Tensor, quantization: Any) -> torch.Tensor:
    import bitsandbytes.functional as bnb

    packed, state = bnb.quantize_4bit(
        weight.contiguous(),
        quant_type=quantization.bnb_4bit_quant_type,
        compress_statistics=quantization.bnb_4bit_use_double_quant,
    )
    return cast(torch.Tensor, bnb.dequantize_4bit(packed, state))


def make_ordinary(directory: Path, first: Path, original: str) -> None:
    """Turns a trained adapter for the residual into one for the original base, in place.

    base + s·(B′A′ − BA) = residual + s·B′A′: both products become one of twice the rank. Weights that are no
    adapter matrices stay as they are, but for those of the residual, which PEFT saves beside the adapter of
    an embedding and would load into the original base.
    """
    trained, start = load_file(directory / ADAPTER), load_file(first / ADAPTER)
    trained = {name: weight for name, weight in trained.items() if not name.endswith(".base_layer.weight")}
    stacked = dict(trained)
    for name, weight in trained.items():
        if ".lora_A." in name or name.endswith(".lora_embedding_A"):
            stacked[name] = torch.cat([weight, start[name].to(weight)], dim=0)
        elif ".lora_B." in name or name.endswith(".lora_embedding_B"):
            stacked[name] = torch.cat([weight, -start[name].to(weight)], dim=1)
    save_file({name: weight.contiguous() for name, weight in stacked.items()}, directory / ADAPTER)
    file = directory / CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    rank = config["r"]
    scale = config["lora_alpha"] / (rank**0.5 if config["use_rslora"] else rank)
    config |= {
        "r": 2 * rank,
        "lora_alpha": 2 * rank * scale,
        "use_rslora": False,
        "init_lora_weights": True,
        "base_model_name_or_path": original,
    }
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
