"""The reference pages, made from the models."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from finetune_api.base import API_VERSION, AUTO_PATTERN
from finetune_api.conditions import ConditionType, Phase, Reason
from finetune_api.crd import Schema, fields_below, structural_schema
from finetune_api.documented import DocumentedStr
from finetune_api.immutability import FIXED_POLICIES, FIXED_SECTIONS
from finetune_api.job import FineTuneJob
from finetune_api.result import ExitCode
from finetune_api.status import FineTuneJobStatus
from finetune_api.validation.capabilities import LIMITS
from finetune_api.validation.codes import Code, FileCode

NOTICE: Final = "<!-- Generated from the models in finetune_api by `make generate`; do not edit. -->\n\n"
_FIELD_HEADER: Final = "| field | type | default | meaning |\n|---|---|---|---|\n"


def fine_tune_job_page() -> str:
    """Every field of a FineTuneJob's spec, section by section."""
    spec = structural_schema(FineTuneJob)["properties"]["spec"]
    lines = [
        NOTICE,
        "# FineTuneJob: the spec\n\n",
        f"`apiVersion: {API_VERSION}`, `kind: FineTuneJob`, short name `ftj`. Field paths are "
        f"written below `spec`. ",
        "A field without a default may be absent, unless it is *required*. ",
        "`kubectl explain ftj.spec --recursive` prints the same descriptions.\n\n",
        "Once the job has started, ",
        f"{', '.join(f'`{section}`' for section in FIXED_SECTIONS)} ",
        f"and, in `failurePolicy`, {', '.join(f'`{policy}`' for policy in FIXED_POLICIES)} can't change; ",
        "`suspend`, `cancel`, `budget`, retries and deadlines can.\n\n",
        "## Top level\n\n",
        _FIELD_HEADER,
    ]
    sections = []
    for name, schema in spec["properties"].items():
        if "properties" in schema:
            sections.append((name, schema))
        lines.append(_row(name, schema, name in spec.get("required", [])))
    for name, schema in sections:
        lines += [f"\n## {name}\n\n{schema['description']}\n\n", _FIELD_HEADER, *_rows(name, schema)]
        lines += _rules(name, schema)
    lines += ["\n## Rules over several sections\n\n", *_rule_items(spec)]
    lines += ["\n## What this version can't do yet\n\n", *_limits()]
    return "".join(lines)


def status_page() -> str:
    """Every field of a FineTuneJob's status."""
    status = structural_schema(FineTuneJobStatus)
    rows = (
        _row(path, schema, required=False, with_default=False) for path, schema, _ in fields_below("", status)
    )
    return "".join(
        [
            NOTICE,
            "# FineTuneJob: the status\n\n",
            "Only the operator writes it. Field paths are written below `status`. ",
            "A new job has `observedGeneration: -1`, so that nobody takes it for finished.\n\n",
            "| field | type | meaning |\n|---|---|---|\n",
            *rows,
        ]
    )


def conditions_page() -> str:
    """Condition types, phases, reasons and exit codes."""
    codes = "".join(
        f"| {code.value} | `{code.name}` | `{code.reason}` | {'yes' if code.retryable else 'no'} "
        f"| {code.meaning} |\n"
        for code in ExitCode
    )
    return "".join(
        [
            NOTICE,
            "# Conditions, phases, reasons and exit codes\n\n",
            "Conditions follow kstatus: programs read them, and `phase` is for people.\n\n",
            "## Condition types\n\n",
            *_constants(ConditionType),
            "\n## Phases\n\n",
            *_constants(Phase),
            "\n## Reasons\n\n",
            "Of conditions, of attempts (`status.attempts[].reason`) and of the trainer's result.\n\n",
            *_constants(Reason),
            "\n## Exit codes of the trainer\n\n",
            "137 is not in the table: the kernel or kubelet killed the process (out of memory, "
            "or no end within the ",
            "grace period).\n\n",
            "| code | name | reason | can a retry help? | meaning |\n|---|---|---|---|---|\n",
            codes,
        ]
    )


def findings_page() -> str:
    """Codes of the validator's findings."""
    return "".join(
        [
            NOTICE,
            "# Findings of the validator\n\n",
            "Each has a severity (error, warning, suggestion), a stable code, a field path, the "
            "value that was found, ",
            "the rule, and the remedy. An error refuses the job.\n\n",
            *_constants(Code),
            "\n## Files that are no manifests\n\n",
            "`finetune` says these of a file, with line and column, before it can say anything of a job.\n\n",
            *_constants(FileCode),
        ]
    )


def _constants(constants: type[DocumentedStr]) -> Iterator[str]:
    yield "| value | meaning |\n|---|---|\n"
    for constant in constants:
        yield f"| `{constant.value}` | {constant.meaning} |\n"


def _rows(prefix: str, schema: Schema) -> Iterator[str]:
    for path, child, required in fields_below(prefix, schema):
        yield _row(path, child, required)


def _row(path: str, schema: Mapping[str, Any], required: bool, *, with_default: bool = True) -> str:
    description = schema.get("description", "").replace("|", "\\|").replace("\n", " ")
    default = f" {_default(schema, required)} |" if with_default else ""
    return f"| `{path}` | {_type(schema)} |{default} {description} |\n"


def _default(schema: Mapping[str, Any], required: bool) -> str:
    if required:
        return "*required*"
    if "properties" in schema or "default" not in schema:
        return ""
    value = schema["default"]
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("pattern") == AUTO_PATTERN:
        return f"`auto` \\| integer{_bounds(schema)}"
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return "map of string"
    return f"{schema.get('type', 'any')}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    parts = []
    if low is not None:
        parts.append(f"{'>' if schema.get('exclusiveMinimum') else '≥'} {low:g}")
    if high is not None:
        parts.append(f"{'<' if schema.get('exclusiveMaximum') else '≤'} {high:,}".replace(",", " "))
    return f", {', '.join(parts)}" if parts else ""


def _rules(prefix: str, schema: Schema) -> Iterator[str]:
    rules = [
        f"- {_rule_item(rule, path)}\n"
        for path, child, _ in [(prefix, schema, False), *fields_below(prefix, schema)]
        for rule in _validations(child)
    ]
    if rules:
        yield "\nRules that the API server checks:\n\n"
        yield from rules


def _validations(schema: Schema) -> list[Mapping[str, str]]:
    own = schema.get("x-kubernetes-validations", [])
    items = schema.get("items", {})
    return [*own, *items.get("x-kubernetes-validations", [])]


def _rule_items(schema: Schema) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield f"- {_rule_item(rule, '')}\n"


def _rule_item(rule: Mapping[str, str], where: str) -> str:
    path = f"{where}{rule.get('fieldPath', '')}".lstrip(".")
    return f"`{path}`: {rule['message']}"


def _limits() -> Iterator[str]:
    yield "The fields are in their final shape. Other values than these are refused as `NotYetSupported`.\n\n"
    yield "| field | possible now |\n|---|---|\n"
    for limit in LIMITS:
        possible = (
            "only its default" if limit.values is None else ", ".join(f"`{value}`" for value in limit.values)
        )
        yield f"| `{limit.path}` | {possible} |\n"
