"""The identity of a run: what two attempts must share for one to go on from the other's checkpoint."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic.main import IncEx

from finetune_api.job import FineTuneJobSpec, processes_per_node

_IDENTITY: Final = {"model", "method", "quantization", "dataset", "training"}

_FREE: Final[Mapping[str, IncEx | bool]] = {
    "model": {"token_secret", "cache", "kernels", "attention"},
    "dataset": {
        "train": {
            "hub": {"token_secret"},
            "http": {"token_secret"},
            "s3": {"endpoint", "region", "access_key_secret", "secret_key_secret", "anonymous"},
        },
        "eval": True,
        "preprocessing": {"workers"},
        "streaming": True,
    },
    "training": {
        "epochs",
        "max_steps",
        "micro_batch_size",
        "gradient_accumulation_steps",
        "logging_steps",
        "logging_first_step",
        "early_stopping",
        "data_loader",
        "compile",
        "gradient_checkpointing",
    },
}
"""What may differ: duration, logging, credentials, and how the same work is carried out."""


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    pruned = {
        key: _without_empty(child) if isinstance(child, dict) else child for key, child in value.items()
    }
    return {key: child for key, child in pruned.items() if child not in (None, [], {})}


def lineage_hash(spec: FineTuneJobSpec) -> str:
    """SHA-256, in hexadecimal, of the settings that make a run what it is.

    Longer training of the same run keeps the hash, and so do a smaller micro-batch with more accumulation and
    another number of ranks, as long as the sequences per optimizer step stay as many. Another model, method,
    data set or learning rate changes it. Only what differs from a default counts, so that a field that a
    later version adds leaves the hash as it is.
    """
    identity = _without_empty(
        spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=_IDENTITY, exclude=_FREE)
    )
    training = spec.training
    ranks = spec.distributed.nodes * processes_per_node(spec)
    identity["sequencesPerStep"] = training.sequences_per_rank * ranks
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
