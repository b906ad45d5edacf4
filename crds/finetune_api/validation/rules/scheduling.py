"""Rules about where pods may run, as Kubernetes itself has them: the pods would be refused otherwise."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from finetune_api.base import DNS_SUBDOMAIN_PATTERN, FORMS, MAX_DNS_SUBDOMAIN_LENGTH
from finetune_api.kubernetes import (
    LabelRequirement,
    LabelSelector,
    NodeSelectorTerm,
    PodAffinityTerm,
    Toleration,
)
from finetune_api.resources import ResourcesSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import walk
from finetune_api.validation.findings import Finding, error

_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_NAME_IN_WORDS: Final = "at most 63 letters, digits, -, _ and ., with a letter or digit at both ends"

_OF_LABELS: Final = ("In", "NotIn", "Exists", "DoesNotExist")
_OF_FIELDS: Final = ("In", "NotIn")
_FIELD: Final = "metadata.name"


def scheduling(spec: ResourcesSpec) -> Iterator[Finding]:
    """Labels, tolerations and affinity that the API server takes in a pod."""
    yield from _labels(spec.node_selector, "resources.nodeSelector")
    for index, toleration in enumerate(spec.tolerations):
        yield from _toleration(toleration, f"resources.tolerations[{index}]")
    if spec.affinity is None:
        return
    for path, model in walk(spec.affinity, "resources.affinity"):
        match model:
            case NodeSelectorTerm():
                yield from _conditions(model.match_expressions, f"{path}.matchExpressions", of_nodes=True)
                for index, condition in enumerate(model.match_fields or []):
                    yield from _field_condition(condition, f"{path}.matchFields[{index}]")
            case LabelSelector():
                yield from _labels(model.match_labels or {}, f"{path}.matchLabels")
                yield from _conditions(model.match_expressions, f"{path}.matchExpressions", of_nodes=False)
            case PodAffinityTerm():
                yield from _label_key(model.topology_key, f"{path}.topologyKey")


def is_label_key(text: str) -> bool:
    """Whether a label may have this key: a name, or a DNS domain, a slash and a name."""
    domain, slash, name = text.rpartition("/")
    return re.fullmatch(_NAME, name) is not None and (not slash or _is_dns_subdomain(domain))


def is_label_value(text: str) -> bool:
    """Whether a label may have this value."""
    return text == "" or re.fullmatch(_NAME, text) is not None


def _is_dns_subdomain(text: str) -> bool:
    return len(text) <= MAX_DNS_SUBDOMAIN_LENGTH and re.fullmatch(DNS_SUBDOMAIN_PATTERN, text) is not None


def _label_key(key: str, path: str) -> Iterator[Finding]:
    if not is_label_key(key):
        yield error(
            Code.MALFORMED,
            path,
            f"is not a label key, which is {_NAME_IN_WORDS}, alone or behind a DNS domain and /",
            "Write it as name or prefix/name",
            key,
        )


def _label_value(value: str, path: str) -> Iterator[Finding]:
    if not is_label_value(value):
        yield error(
            Code.MALFORMED,
            path,
            f"is not a label value, which is empty or {_NAME_IN_WORDS}",
            "Write the value that the label has",
            value,
        )


def _labels(labels: Mapping[str, str], path: str) -> Iterator[Finding]:
    for key, value in labels.items():
        yield from _label_key(key, f"{path}.{key}")
        yield from _label_value(value, f"{path}.{key}")


def _toleration(toleration: Toleration, path: str) -> Iterator[Finding]:
    if toleration.key is not None:
        yield from _label_key(toleration.key, f"{path}.key")
    if toleration.operator == "Equal":
        yield from _label_value(toleration.value or "", f"{path}.value")
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


def _conditions(
    conditions: Sequence[LabelRequirement] | None, path: str, *, of_nodes: bool
) -> Iterator[Finding]:
    for index, condition in enumerate(conditions or []):
        here = f"{path}[{index}]"
        yield from _label_key(condition.key, f"{here}.key")
        if of_nodes or condition.operator in _OF_LABELS:
            yield from _values(condition, f"{here}.values")
        else:
            yield _wrong_operator(condition, here, "compares labels of nodes only", _OF_LABELS)


def _values(condition: LabelRequirement, path: str) -> Iterator[Finding]:
    values, operator = condition.values or [], condition.operator
    match operator:
        case "In" | "NotIn" if not values:
            yield error(Code.REQUIRES, path, f"{operator} needs values", "Set values")
        case "In" | "NotIn":
            for index, value in enumerate(values):
                yield from _label_value(value, f"{path}[{index}]")
        case "Exists" | "DoesNotExist" if values:
            yield error(Code.CONFLICT, path, f"{operator} compares no values", "Remove values")
        case "Gt" | "Lt" if len(values) != 1 or re.fullmatch("[0-9]{1,18}", values[0]) is None:
            yield error(Code.MALFORMED, path, f"{operator} needs one integer", "Set one value")


def _field_condition(condition: LabelRequirement, path: str) -> Iterator[Finding]:
    values = condition.values or []
    if condition.key != _FIELD:
        yield error(
            Code.NOT_ALLOWED,
            f"{path}.key",
            f"is not a field that nodes are chosen by; {_FIELD} is the only one",
            f"Use {_FIELD}, or matchExpressions for labels",
            condition.key,
        )
    if condition.operator not in _OF_FIELDS:
        yield _wrong_operator(condition, path, "does not compare fields", _OF_FIELDS)
    elif len(values) != 1:
        yield error(
            Code.REQUIRES,
            f"{path}.values",
            f"{condition.operator} compares a field with exactly one value",
            "Set one value; write a term for each further node",
        )
    elif not _is_dns_subdomain(values[0]):
        yield error(
            Code.MALFORMED,
            f"{path}.values[0]",
            "is not the name of a node",
            f"Write it as {FORMS[DNS_SUBDOMAIN_PATTERN]}",
            values[0],
        )


def _wrong_operator(condition: LabelRequirement, path: str, why: str, operators: Sequence[str]) -> Finding:
    remedy = f"Use one of {', '.join(operators)}"
    return error(Code.NOT_ALLOWED, f"{path}.operator", why, remedy, condition.operator)
