"""Rules about where pods may run, as Kubernetes itself has them: the pods would be refused otherwise."""

import re
from collections.abc import Iterator
from typing import Final

from finetune_api.kubernetes import LabelRequirement, Toleration
from finetune_api.resources import ResourcesSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import walk
from finetune_api.validation.findings import Finding, error

_LABEL_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY: Final = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL_NAME}", re.ASCII)
LABEL_VALUE: Final = re.compile(rf"({_LABEL_NAME})?", re.ASCII)


def scheduling(spec: ResourcesSpec) -> Iterator[Finding]:
    """Labels, tolerations and affinity that the API server takes in a pod."""
    for key, value in spec.node_selector.items():
        path = f"resources.nodeSelector.{key}"
        if not LABEL_KEY.fullmatch(key):
            yield error(Code.MALFORMED, path, "is not a label key", "Write it as name or prefix/name", key)
        if not LABEL_VALUE.fullmatch(value):
            yield error(
                Code.MALFORMED, path, "is not a label value", "Use letters, digits, -, _ and .", value
            )
    for index, toleration in enumerate(spec.tolerations):
        yield from _toleration(toleration, f"resources.tolerations[{index}]")
    if spec.affinity is not None:
        for path, model in walk(spec.affinity, "resources.affinity"):
            if isinstance(model, LabelRequirement):
                yield from _requirement(model, path)


def _toleration(toleration: Toleration, path: str) -> Iterator[Finding]:
    if toleration.key is None and toleration.operator == "Equal":
        yield error(
            Code.REQUIRES, path, "operator Equal needs a key", "Set key, or operator: Exists for every taint"
        )
    if toleration.operator == "Exists" and toleration.value:
        yield error(
            Code.CONFLICT,
            f"{path}.value",
            "operator Exists compares no value",
            "Remove value or use operator: Equal",
            toleration.value,
        )
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        yield error(
            Code.REQUIRES,
            f"{path}.tolerationSeconds",
            "is for effect NoExecute only",
            "Set effect: NoExecute or remove tolerationSeconds",
            toleration.toleration_seconds,
        )


def _requirement(requirement: LabelRequirement, path: str) -> Iterator[Finding]:
    values = requirement.values or []
    match requirement.operator:
        case "In" | "NotIn" if not values:
            yield error(Code.REQUIRES, f"{path}.values", f"{requirement.operator} needs values", "Set values")
        case "Exists" | "DoesNotExist" if values:
            yield error(
                Code.CONFLICT,
                f"{path}.values",
                f"{requirement.operator} compares no values",
                "Remove values",
            )
        case "Gt" | "Lt" if len(values) != 1 or not values[0].lstrip("-").isdigit():
            yield error(
                Code.MALFORMED, f"{path}.values", f"{requirement.operator} needs one integer", "Set one value"
            )
