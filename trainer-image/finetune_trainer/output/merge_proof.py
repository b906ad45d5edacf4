"""The proof that a merged model is base plus adapter: weight by weight, with nothing left to rounding.

The logits of a merged 16-bit model differ from those of base and adapter, because both round, and the more
the stronger the adapter is: they cannot tell rounding from a wrong merge. So each layer is merged in a copy,
in fp32, where next to nothing is rounded, and must compute there what it computes with its adapter beside it.
Rounded once, the copy's weights are those that the files must hold, bit for bit; all others must be the
base's. Beside the model this takes the memory of one layer in fp32.
"""

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from finetune_trainer.errors import OutputInvalidError
from finetune_trainer.output.trial import PROBE_TOKENS, relative_difference

TOLERANCE = 1e-4
"""How far two fp32 outputs of a layer may be from one another, as a share of the largest: about what
rounding can do to a sum of a thousand products."""


@dataclass(frozen=True)
class Call:
    """What a layer was called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def of(self, layer: torch.nn.Module) -> torch.Tensor:
        """What a layer with fp32 weights gives for it."""
        with torch.no_grad():
            found = layer(*_in_fp32(self.args), **_in_fp32(self.kwargs))
        output: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return output


def probe_ids(vocabulary: int) -> torch.Tensor:
    """Token ids to compare models on, (1, 64): always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, vocabulary, (1, PROBE_TOKENS), generator=generator)


def merged_weights(model: Any, ids: torch.Tensor, dtype: torch.dtype) -> dict[str, str]:
    """Digests of all weights, rounded to a type, that a `PeftModel` must have once its adapter is merged.

    The model is left as it is. Raises `OutputInvalidError` for a layer that computes something else once it
    is merged, on the inputs that it gets for `ids`, and `ValueError` for weights that are not finite. A layer
    that none of these tokens reaches (an expert, say) is merged too, but not compared.
    """
    calls = _calls(model, ids)
    return {name: _digest(weight, dtype) for name, weight in _merged(model.get_base_model(), "", calls)}


def check_weights(model: torch.nn.Module, expected: dict[str, str], dtype: torch.dtype) -> None:
    """Raises `OutputInvalidError` for a model with a weight that is not the expected one."""
    named = model.named_parameters(remove_duplicate=False)
    found = {name: _digest(weight, dtype) for name, weight in named}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise OutputInvalidError(
            f"output.mergeAdapter: the merged model is something else than base and adapter: {len(wrong)} of "
            f"its weights are not what the two give, {wrong[0]} first"
        )


def allowed_difference(effect: float) -> float:
    """The tolerance, and less for an adapter that changes little: a layer without it must not pass for a
    merged one as long as its change is more than rounding."""
    return min(TOLERANCE, max(effect / 2, TOLERANCE / 2))


def _calls(model: Any, ids: torch.Tensor) -> dict[str, Call]:
    """One pass of the model, remembering what its adapted layers are called with, by their names."""
    found: dict[str, Call] = {}

    def remember(name: str) -> Any:
        def hook(_layer: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[name] = Call(args, kwargs)

        return hook

    layers = _adapted(model.get_base_model(), "")
    hooks = [layer.register_forward_pre_hook(remember(name), with_kwargs=True) for name, layer in layers]
    try:
        with torch.no_grad():
            model(input_ids=ids.to(model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _adapted(module: torch.nn.Module, name: str) -> Iterator[tuple[str, torch.nn.Module]]:
    """Layers with an adapter, by their names in the base model; of nested ones the outermost."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if isinstance(module, BaseTunerLayer):
        yield name, module
        return
    for key, inner in module.named_children():
        yield from _adapted(inner, _join(name, key))


def _merged(module: torch.nn.Module, name: str, calls: dict[str, Call]) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and weights of a part of the model, as they are after merging; one layer is held at a time."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import ModulesToSaveWrapper

    if isinstance(module, ModulesToSaveWrapper):
        module = module.modules_to_save[module.active_adapter]
    if isinstance(module, BaseTunerLayer):
        module = _merged_layer(module, name, calls.get(name))
    for key, weight in module.named_parameters(recurse=False):
        yield _join(name, key), weight
    for key, inner in module.named_children():
        yield from _merged(inner, _join(name, key), calls)


def _merged_layer(layer: torch.nn.Module, name: str, call: Call | None) -> torch.nn.Module:
    """A copy of the layer in fp32 with its adapter in the weights, proved on what the layer was called
    with."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    copied: Any = copy.deepcopy(layer).float()
    base: torch.nn.Module = copied.get_base_layer()
    before = (call.of(base), call.of(copied)) if call is not None else None
    for part in copied.modules():
        if isinstance(part, BaseTunerLayer):
            part.merge(safe_merge=True)
    if call is not None and before is not None:
        _check_layer(name, *before, merged=call.of(base))
    return base


def _check_layer(
    name: str, without: torch.Tensor, with_adapter: torch.Tensor, *, merged: torch.Tensor
) -> None:
    """Compares the outputs of a layer."""
    effect = relative_difference(without, with_adapter)
    difference = relative_difference(merged, with_adapter)
    allowed = allowed_difference(effect)
    if not difference <= allowed:
        raise OutputInvalidError(
            f"output.mergeAdapter: {name} computes something else once its adapter is merged: it differs by "
            f"{difference:.2g} of its largest output, {allowed:.2g} is allowed in fp32 for an adapter that "
            f"changes it by {effect:.2g}"
        )


def _in_fp32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().float() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(_in_fp32(each) for each in value)
    if isinstance(value, dict):
        return {name: _in_fp32(each) for name, each in value.items()}
    return value


def _digest(weight: torch.Tensor, dtype: torch.dtype) -> str:
    stored = weight.detach().to("cpu", dtype).contiguous().reshape(-1)
    return hashlib.sha256(stored.view(torch.uint8).numpy().data).hexdigest()


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
