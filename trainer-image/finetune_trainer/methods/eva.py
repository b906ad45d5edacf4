"""Adapters whose A matrices start as the main directions of what each layer gets from the run's own data: EVA
(Paischer et al. 2024, arXiv:2410.07170), computed by PEFT.

The B matrices start at 0, so the model computes what it did, and the base stays as it is. Layers whose inputs
have more to explain get a higher rank, up to twice the asked one, and others a lower one, or none.
"""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from finetune_api.method import MethodSpec
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.methods.adapters import with_adapter
from finetune_trainer.model.heads import LANGUAGE, Head

log = logging.getLogger(__name__)

RANK_GROWTH: Final = 2
"""How many times the asked rank a layer may get: PEFT's default."""

DIRECTIONS: Final = 2 * RANK_GROWTH
"""Directions that the decomposition looks at, per asked rank: PEFT's randomised one wants twice as many as it
returns."""

BATCH_TOKENS: Final = 2048
"""Tokens in one forward pass, at least (or as many as there are)."""

BATCHES: Final = 64
"""Batches that are read; they come again until the directions no longer turn."""

PASSES: Final = 1000
"""Forward passes after which directions that still turn are given up."""


def write_eva_adapter(
    model: Any,
    method: MethodSpec,
    seed: int,
    data: TrainingData,
    pad_id: int,
    directory: Path,
    head: Head = LANGUAGE,
) -> None:
    """Writes the adapter of the first step, from a model that is not quantized, on whatever device it is.

    Raises `InvalidConfigError` for a rank that the layers or the data are too small for, and for data in
    which no directions stand out.
    """
    from peft import get_eva_state_dict, initialize_lora_eva_weights

    with warnings.catch_warnings():
        # that the adapter could wait without memory until its rank is known
        warnings.filterwarnings("ignore", "lora with eva initialization")
        adapted: Any = with_adapter(model, method, seed, "eva", head)
    check_width(adapted, method.lora.rank)
    batches = token_batches(data, pad_id, seed, least=DIRECTIONS * method.lora.rank)
    passes = 0

    def forward(whole: Any, inputs: Mapping[str, torch.Tensor]) -> None:
        nonlocal passes
        passes += 1
        if passes > PASSES:
            raise InvalidConfigError(
                f"method.lora.initialization: eva found no {RANK_GROWTH * method.lora.rank} directions that "
                f"stay the same within {PASSES} batches. Use a lower method.lora.rank, or pissa"
            )
        known = {name: value for name, value in inputs.items() if name != "real"}
        whole(**known, use_cache=False)

    directions = get_eva_state_dict(
        adapted,
        batches,
        forward_fn=forward,
        prepare_model_inputs_fn=lambda inputs, _config: inputs["real"].nonzero(),
        # one process computes, the others read its files
        gather_distributed_inputs=False,
        show_progress_bar=False,
    )
    initialize_lora_eva_weights(adapted, eva_state_dict=directions)
    config = adapted.peft_config["default"]
    # what is loaded again must not be computed again
    config.init_lora_weights, config.eva_config = True, None
    adapted.save_pretrained(directory)
    log.info("the adapters start as directions of the data, after %d batches", passes)


def check_width(adapted: torch.nn.Module, rank: int) -> None:
    """Raises `InvalidConfigError` for a rank that an adapted layer is too narrow for."""
    from peft.tuners.lora import LoraLayer

    inputs = {
        name: layer.in_features for name, layer in adapted.named_modules() if isinstance(layer, LoraLayer)
    }
    name, narrowest = min(inputs.items(), key=lambda item: item[1])
    if DIRECTIONS * rank > narrowest:
        raise InvalidConfigError(
            f"method.lora.rank: {rank} is too much for initialization eva, which looks at {DIRECTIONS} times "
            f"as many directions: {name} has {narrowest} inputs. Use at most {narrowest // DIRECTIONS}"
        )


def token_batches(data: TrainingData, pad_id: int, seed: int, least: int) -> list[dict[str, torch.Tensor]]:
    """Batches of the training data in an order that the seed decides, each of at least `least` tokens, with
    `real`, of shape (rows, tokens), telling tokens from padding. Raises `InvalidConfigError`."""
    batches: list[dict[str, torch.Tensor]] = []
    items: list[Any] = []
    for index in np.random.default_rng(seed).permutation(len(data)).tolist():
        items.append(data[index])
        if sum(len(item["input_ids"]) for item in items) >= max(BATCH_TOKENS, least):
            batches.append(_batch(data, items, pad_id))
            items = []
        if len(batches) == BATCHES:
            return batches
    tokens = sum(len(item["input_ids"]) for item in items)
    if tokens >= least:
        batches.append(_batch(data, items, pad_id))
    if not batches:
        raise InvalidConfigError(
            f"method.lora.initialization: eva looks at {least} directions, and the training data have "
            f"{tokens} tokens. Use a lower method.lora.rank, or initialization auto"
        )
    return batches


def _batch(data: TrainingData, items: list[Any], pad_id: int) -> dict[str, torch.Tensor]:
    collated = data.collate(items, pad_id)
    inputs = {
        name: value
        for name, value in collated.items()
        if name != "labels" and isinstance(value, torch.Tensor)
    }
    lengths = torch.tensor([len(item["input_ids"]) for item in items])
    longest = inputs["input_ids"].shape[1]
    return inputs | {"real": torch.arange(longest)[None, :] < lengths[:, None]}
