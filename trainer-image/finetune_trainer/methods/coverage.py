"""How much of a model's matrices a setting reaches. The libraries pass over layers of kinds that they do not
know, and say nothing."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from transformers.quantizers.quantizers_utils import should_convert_module

from finetune_api.job import FineTuneJobSpec
from finetune_api.method import ALL_LINEAR, MethodSpec
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.layers import check_names, module_names
from finetune_trainer.model.models import weight_count

WHOLE: Final = 0.99
"""A share from which on nothing is said: routers and score heads are small."""


def check_quantized(model: torch.nn.Module, spec: FineTuneJobSpec) -> None:
    """Raises `InvalidConfigError` where a quantization was asked for and no layer has it, and for modules to
    skip that the model does not have."""
    kind, skipped = spec.quantization.type, spec.quantization.skip_modules
    if kind == "none":
        return
    check_names(module_names(model), skipped, "quantization.skipModules", _is_skipped)
    if quantized_share(model) > 0:
        return
    classes = {type(module).__name__ for module, _ in _matrices(model)}
    raise InvalidConfigError(
        f"quantization.type: {kind} reaches no layer of this model, whose layers are "
        f"{' and '.join(sorted(classes))}{f', with skipModules {skipped}' if skipped else ''}. "
        f"Use quantization.type {'nf4' if kind == 'int4' else 'none'}"
        f"{', or fewer skipModules' if skipped else ''}"
    )


def _is_skipped(name: str, wanted: str) -> bool:
    return not should_convert_module(name, [wanted])


def quantized_share(model: torch.nn.Module) -> float:
    """The share of the weights in the base's matrices that is quantized; embeddings don't count."""
    return _share(model, {id(weight) for _, weight in _matrices(model) if _is_quantized(weight)})


def adapted_share(model: torch.nn.Module) -> float:
    """The share of the weights in the base's matrices that has an adapter; embeddings don't count."""
    from peft.tuners.lora import LoraLayer

    layers: list[Any] = [each for each in model.modules() if isinstance(each, LoraLayer) and each.lora_A]
    return _share(model, {id(_adapted(layer)) for layer in layers})


def ranked_share(model: torch.nn.Module) -> float:
    """The share of the weights in the base's matrices that spectrum chooses from: those of two dimensions."""
    ranked = {id(weight) for _, weight in _matrices(model) if _dimensions(weight) == 2}
    return _share(model, ranked)


def _dimensions(weight: torch.Tensor) -> int:
    """Also where ZeRO-3 has taken the weight apart."""
    return len(getattr(weight, "ds_shape", weight.shape))


def _adapted(layer: Any) -> torch.Tensor:
    from peft.tuners.lora import ParamWrapper

    weight: torch.Tensor = (
        layer.get_param() if isinstance(layer, ParamWrapper) else layer.get_base_layer().weight
    )
    return weight


def reach(model: torch.nn.Module, spec: FineTuneJobSpec) -> dict[str, str]:
    """What the status says about settings that do not reach all of the layers, such as experts that are one
    parameter of three dimensions: by the field's name."""
    said = {}
    if spec.quantization.type != "none" and (share := quantized_share(model)) < WHOLE:
        said["quantization"] = f"{spec.quantization.type} ({share:.1%} of the layers' weights)"
    if _adapts_all(spec.method) and (share := adapted_share(model)) < WHOLE:
        said["targetModules"] = f"{ALL_LINEAR} ({share:.1%} of the layers' weights)"
    if spec.method.type == "spectrum" and (share := ranked_share(model)) < WHOLE:
        said["method"] = f"spectrum (chooses among {share:.1%} of the layers' weights)"
    return said


def _adapts_all(method: MethodSpec) -> bool:
    lora = method.lora
    chosen = lora.target_pattern is not None or bool(lora.layers_to_transform)
    return method.uses_adapters and lora.target_modules == [ALL_LINEAR] and not chosen


def _matrices(model: Any) -> Iterator[tuple[torch.nn.Module, torch.nn.Parameter]]:
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        added = any(part.startswith(("lora_", "modules_to_save")) for part in name.split("."))
        if added or module is head or isinstance(module, torch.nn.Embedding):
            continue
        for weight in module.parameters(recurse=False):
            if _dimensions(weight) >= 2:
                yield module, weight


def _is_quantized(weight: torch.Tensor) -> bool:
    from optimum.quanto import QTensor

    four_bit, eight_bit = hasattr(weight, "quant_storage"), type(weight).__name__ == "Int8Params"
    return four_bit or eight_bit or isinstance(weight, QTensor)


def _share(model: torch.nn.Module, reached: set[int]) -> float:
    sizes = {id(weight): weight_count(weight) for _, weight in _matrices(model)}
    return sum(size for each, size in sizes.items() if each in reached) / max(1, sum(sizes.values()))
