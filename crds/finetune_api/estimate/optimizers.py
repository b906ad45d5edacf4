"""What optimizers remember of each weight."""

from typing import Final

from finetune_api.training import Optimizer

EIGHT_BIT: Final = 1 + 4 / 256
"""Bytes of one 8-bit state: one byte, and an fp32 constant per block of 256 (Dettmers et al. 2021, 8-bit
Optimizers via Block-wise Quantization; bitsandbytes' block size)."""

_STATES: Final[dict[Optimizer, float]] = {
    "adamw": 2,
    "adamwFused": 2,
    "pagedAdamw": 2,
    "ademamix": 3,
    "pagedAdemamix": 3,
    "lion": 1,
    "pagedLion": 1,
    "sgd": 0,
    "adagrad": 1,
    "rmsprop": 1,
    "rmspropBnb": 1,
    "lomo": 0,
    "grokadamw": 3,
    "stableAdamw": 2,
    "scheduleFreeAdamw": 2,
    "scheduleFreeRadam": 2,
    "scheduleFreeSgd": 1,
}
"""States per weight, each in the weight's own type."""

_EIGHT_BIT_STATES: Final[dict[Optimizer, int]] = {
    "adamw8bit": 2,
    "pagedAdamw8bit": 2,
    "ademamix8bit": 3,
    "pagedAdemamix8bit": 3,
    "lion8bit": 1,
    "pagedLion8bit": 1,
    "rmsprop8bit": 1,
}

_PROJECTION_RANK: Final[dict[Optimizer, int]] = {
    "galoreAdamw": 128,
    "galoreAdafactor": 128,
    "apolloAdamw": 256,
}
"""Rank of the projected gradients: the defaults of transformers for GaLore and of the APOLLO authors."""

_COUNTED_AS: Final[dict[Optimizer, Optimizer]] = {
    "adamwTorch4bit": "adamw8bit",
    "adamwTorch8bit": "adamw8bit",
    "adamwTorchXla": "adamw",
    "adamwTorchNpuFused": "adamw",
    "adamwAnyprecision": "adamw",
    "galoreAdamw8bit": "galoreAdamw",
    "galoreAdamwLayerwise": "galoreAdamw",
    "galoreAdamw8bitLayerwise": "galoreAdamw",
    "galoreAdafactorLayerwise": "galoreAdafactor",
    "apolloAdamwLayerwise": "apolloAdamw",
}
"""Optimizers that no job may use, and the nearest one: a refused job is estimated too."""

FUSES_GRADIENTS: Final = frozenset({"lomo", "adalomo"})
"""Optimizers that use each gradient as soon as it is there, and free it (Lv et al. 2023)."""

WHOLE_LIST_STEP: Final = frozenset({"adamw", "adagrad", "rmsprop", "scheduleFreeAdamw", "scheduleFreeRadam"})
"""Optimizers whose torch implementation (foreach) makes one temporary tensor per weight at the step."""


def is_paged(optimizer: Optimizer) -> bool:
    """Whether the states may move to host memory when the device is full."""
    return optimizer.startswith("paged")


def state_bytes(
    optimizer: Optimizer, parameters: float, weight_bytes: int, narrow_side: int, embedded: float = 0.0
) -> float:
    """Bytes of all states of `parameters` weights of matrices whose narrower side is `narrow_side`; of these
    weights, `embedded` are embeddings."""
    optimizer = _COUNTED_AS.get(optimizer, optimizer)
    if optimizer in _EIGHT_BIT_STATES:
        return parameters * _EIGHT_BIT_STATES[optimizer] * EIGHT_BIT
    if optimizer in ("adafactor", "adalomo"):
        # One row and one column of fp32 per matrix instead of the matrix (Shazeer and Stern 2018).
        return parameters * 4 * 2 / max(1, narrow_side)
    if optimizer in _PROJECTION_RANK:
        # Two fp32 moments and the projector, each `rank` wide instead of the matrix's narrow side
        # (Zhao et al. 2024, GaLore, table 1). Embeddings are not projected.
        share = min(1.0, _PROJECTION_RANK[optimizer] / max(1, narrow_side))
        if optimizer == "galoreAdafactor":
            # the projector, which is smaller for matrices that are not square, and a row and a column
            return 4 * (share * (parameters - embedded) + 2 * parameters / max(1, narrow_side))
        return 4 * (3 * share * (parameters - embedded) + 2 * embedded)
    return parameters * _STATES[optimizer] * weight_bytes
