"""What DoRA needs of its base: weights that can be unpacked, since it adds to them at every step, and no
output whose weights are all 0, since it divides by their length."""

from functools import cache
from typing import Any

import torch

from finetune_trainer.errors import InvalidConfigError


@cache
def unpack_every_base() -> None:
    """Gives PEFT's DoRA the weights of bases that its own function does not unpack: it knows nothing of
    optimum-quanto's, and on CPU it puts a copy of LLM.int8()'s back without their scales, so that the second
    step fails."""
    from optimum.quanto import QTensor
    from peft.tuners.lora import dora
    from peft.utils.integrations import dequantize_bnb_weight

    others = dora.dequantize_module_weight

    def unpacked(module: Any) -> Any:
        weight = module.weight
        if isinstance(weight, QTensor):
            return weight.dequantize()
        if type(weight).__name__ == "Int8Params" and weight.device.type == "cpu":
            return dequantize_bnb_weight(weight, state=module.state)
        return others(module)

    dora.dequantize_module_weight = unpacked


def measure_magnitudes(model: torch.nn.Module) -> None:
    """Takes the magnitudes from the base that is loaded. Those of an adapter that was made beforehand are the
    whole base's: on a quantized one the model would not start as its base."""
    from peft.tuners.lora import LoraLayer

    for layer in model.modules():
        if not isinstance(layer, LoraLayer):
            continue
        # embeddings, which are not quantized, have their matrices under other names
        for name, matrix in layer.lora_A.items():
            layer.lora_magnitude_vector[name].update_layer(
                base_layer=layer.get_base_layer(),
                lora_A=matrix.weight,
                lora_B=layer.lora_B[name].weight,
                scaling=layer.scaling[name],
            )


def refuse_zeros(model: torch.nn.Module) -> None:
    """Raises `InvalidConfigError` for an adapted layer with an output whose weights are all 0, such as the
    row of a padding token: 0 / 0 would be its scale, here and wherever PEFT loads the adapter."""
    from peft.tuners.lora import LoraLayer

    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        for magnitudes in layer.lora_magnitude_vector.values():
            zeros = int((magnitudes.weight == 0).sum())
            if zeros:
                raise InvalidConfigError(
                    f"method.lora.targetModules: {name} has {zeros} outputs whose weights are all 0, and "
                    "dora divides by their length. Leave it out, or use method.type lora"
                )
