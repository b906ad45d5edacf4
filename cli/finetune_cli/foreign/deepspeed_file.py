"""The DeepSpeed configuration that another program's configuration names: a file of JSON beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetune_api.deepspeed import AUTO
from finetune_cli.foreign.rules import Mapped, NotMapped, Read, Result

KEYS: Final = ("deepspeed", "distributed.deepspeed_config")
"""What the programs call it."""

_SAID_ELSEWHERE: Final = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "bf16",
    "fp16",
)
"""Keys that transformers wants to be what its own arguments say, which are read already."""


def rule(*directories: Path) -> Read:
    """Return the rule of a path to such a file, which may start at any of the directories."""

    def read(value: Any) -> Result:
        file = next((place / str(value) for place in directories if (place / str(value)).is_file()), None)
        if file is None:
            return NotMapped(
                f"{value} is not here: set distributed.zeroStage, or write what is in it into "
                "distributed.deepspeedConfig"
            )
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return NotMapped(f"{value} can't be read, or is no mapping in JSON")
        return Mapped(_fields(found), "read from the file; batch, clipping and precision are other keys'")

    return Read(read)


def _fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says, by our paths. The stage and what is offloaded have fields of their own."""
    values: dict[str, Any] = {}
    raw = {key: value for key, value in _decided(found).items() if key not in _SAID_ELSEWHERE}
    zero = raw.get("zero_optimization")
    if isinstance(zero, dict):
        rest = dict(zero)
        values["distributed.zeroStage"] = rest.pop("stage", 0)
        for theirs, ours in (("offload_optimizer", "optimizer"), ("offload_param", "parameters")):
            if isinstance(rest.get(theirs), dict) and rest[theirs].get("device") in ("cpu", "none"):
                values[f"distributed.offload.{ours}"] = rest[theirs]["device"]
        raw["zero_optimization"] = rest
    raw = {key: value for key, value in raw.items() if value != {}}
    return values | ({"distributed.deepspeedConfig": raw} if raw else {})


def _decided(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section without what it leaves to others."""
    return {
        key: _decided(value) if isinstance(value, dict) else value
        for key, value in section.items()
        if value != AUTO
    }
