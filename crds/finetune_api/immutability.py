"""What of a spec may change once the job has started, and the CEL rules that say so.

The rules stand at the root of the schema, because only there are `spec` and `status` visible together. A job
has started when `status.startTime` is set. A write of the status leaves the spec alone and always passes.
"""

from typing import Final

from pydantic import JsonValue

from finetune_api.base import cel

FIXED_SECTIONS: Final = (
    "preset",
    "model",
    "method",
    "quantization",
    "dataset",
    "training",
    "distributed",
    "resources",
    "checkpoints",
    "output",
    "evaluation",
    "tracking",
)
"""Sections of the spec that can't change after the start."""

FIXED_POLICIES: Final = (
    "backoffSeconds",
    "maxBackoffSeconds",
    "outOfMemory",
    "gracePeriodSeconds",
    "divergence",
)
"""Fields of `failurePolicy` that can't change after the start; retries, deadlines and the TTL can."""

_NOT_STARTED: Final = "!has(oldSelf.status) || !has(oldSelf.status.startTime)"


def _unchanged(path: str) -> str:
    parent, _, name = path.rpartition(".")
    new, old = f"self.{parent}", f"oldSelf.{parent}"
    return (
        f"{_NOT_STARTED} || has({new}.{name}) == has({old}.{name}) && "
        f"(!has({new}.{name}) || {new}.{name} == {old}.{name})"
    )


def _fixed(path: str) -> dict[str, JsonValue]:
    return cel(
        _unchanged(path),
        f"{path} can't change once the job has started; create a new job with the other value "
        "(suspend, cancel, budget, retries and deadlines may change)",
        field_path=f".{path}",
    )


IMMUTABILITY_RULES: Final = (
    *(_fixed(f"spec.{section}") for section in FIXED_SECTIONS),
    *(_fixed(f"spec.failurePolicy.{policy}") for policy in FIXED_POLICIES),
)
