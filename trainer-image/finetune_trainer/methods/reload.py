"""A trained adapter on the base that it was trained on, as whoever uses it loads it."""

from pathlib import Path
from typing import Any

import torch

from finetune_api.job import FineTuneJobSpec
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.methods.start import Start
from finetune_trainer.model.kernels import FLASH
from finetune_trainer.model.models import load_base, load_dtype
from finetune_trainer.model.quantization import quantization_config

FIRST = "first"
"""Name of the adapter that training started with."""


def reload_trained(
    spec: FineTuneJobSpec,
    start: Start,
    adapter: Path,
    precision: Precision,
    device: torch.device | None = None,
) -> Any:
    """The trained model from files: the base, quantized as it was in training, and an exported adapter.

    An exported adapter is for the original base. Where training went on from a residual, the part of the base
    that became the first adapter is put back beside it. `device` is where it will be. Raises `ModelLoadError`
    and what PEFT raises.
    """
    from peft import PeftConfig, PeftModel, load_peft_weights, set_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer

    quantization = quantization_config(spec, precision, start.base)
    dtype = load_dtype(spec, precision)
    model = spec.model
    if model.attention in FLASH:
        # it wants a GPU and the autocast of the training, and neither is sure here
        model = model.model_copy(update={"attention": "auto"})
    base = load_base(model, start.base, dtype, quantization, start.head, device)
    adapted = PeftModel.from_pretrained(base, adapter)
    if start.adapter is not None:
        config = PeftConfig.from_pretrained(start.adapter)
        # the biases that are trained are the exported adapter's, and PEFT takes them from one alone
        config.bias = "none"
        adapted.add_adapter(FIRST, config)
        whole = set(config.modules_to_save or [])
        first = {
            name: weight
            for name, weight in load_peft_weights(start.adapter).items()
            if not name.endswith(".bias") or not whole.isdisjoint(name.split("."))
        }
        set_peft_model_state_dict(adapted, first, FIRST)
        # matrices add up; modules that are saved whole, such as a reward model's score, are the trained ones
        for layer in adapted.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.set_adapter(["default", FIRST])
    return adapted
