"""From a mapping, as YAML or the API server gives it, to a FineTuneJob, or to findings that say why not."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from finetune_api.base import FORMS
from finetune_api.job import FineTuneJob
from finetune_api.rules_over_sections import DATASET_GIVEN, MODEL_GIVEN
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import model_at
from finetune_api.validation.findings import Finding, InvalidJobError, broken, error

_MAX_SHOWN: Final = 120

_CODES: Final = {
    "missing": Code.MISSING_FIELD,
    "extra_forbidden": Code.UNKNOWN_FIELD,
    "literal_error": Code.NOT_ALLOWED,
    "enum": Code.NOT_ALLOWED,
    "string_pattern_mismatch": Code.MALFORMED,
    "finite_number": Code.OUT_OF_RANGE,
    "string_too_short": Code.OUT_OF_RANGE,
    "string_too_long": Code.OUT_OF_RANGE,
    "too_short": Code.OUT_OF_RANGE,
    "too_long": Code.OUT_OF_RANGE,
    "greater_than": Code.OUT_OF_RANGE,
    "greater_than_equal": Code.OUT_OF_RANGE,
    "less_than": Code.OUT_OF_RANGE,
    "less_than_equal": Code.OUT_OF_RANGE,
    "value_error": Code.DUPLICATE,
    "int_from_float": Code.WRONG_TYPE,
}


_WANTED: Final = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of fields",
}
"""What a value has to be, by the kind of Pydantic's error."""

_LENGTHS: Final = {
    "too_short": ("min_length", "entry", "entries"),
    "too_long": ("max_length", "entry", "entries"),
    "string_too_short": ("min_length", "character", "characters"),
    "string_too_long": ("max_length", "character", "characters"),
}
"""Which bound is broken, and what is counted: one of it, and more."""


_REQUIRED_SECTIONS: Final = {
    "model": MODEL_GIVEN,
    "dataset": DATASET_GIVEN,
    "dataset.train": DATASET_GIVEN,
}
"""What every job must say, unless its preset does."""


def parse_job(manifest: object) -> FineTuneJob:
    """The job that a manifest describes, defaults filled in. A status in it is passed over, as the API server
    does with the one that somebody applies.

    Raises `InvalidJobError` with one finding per mistake of form: unknown or missing fields, wrong types,
    values out of range. What depends on several fields is `validate_job`'s part.
    """
    if not isinstance(manifest, Mapping):
        raise InvalidJobError(
            [
                error(
                    Code.WRONG_TYPE,
                    "",
                    "a FineTuneJob is a mapping with apiVersion, kind, metadata and spec",
                    "Start the manifest with apiVersion: finetune.dev/v1alpha1 and kind: FineTuneJob",
                )
            ]
        )
    for field in ("apiVersion", "kind"):
        if manifest.get(field) is None:
            raise InvalidJobError([_absent_header(field)])
    try:
        return FineTuneJob.from_json_object({key: manifest[key] for key in manifest if key != "status"})
    except ValidationError as invalid:
        raise InvalidJobError(
            [finding_of(details) for details in invalid.errors(include_url=False)]
        ) from None


def check_manifest(manifest: object) -> tuple[FineTuneJob | None, list[Finding]]:
    """The job, if the manifest's form allows, and every finding about it. Never raises."""
    from finetune_api.validation.validate import validate_job

    try:
        job = parse_job(manifest)
    except InvalidJobError as invalid:
        return None, invalid.findings
    return job, validate_job(job)


def _absent_header(field: str) -> Finding:
    wanted = "finetune.dev/v1alpha1" if field == "apiVersion" else "FineTuneJob"
    return error(Code.MISSING_FIELD, field, "is required", f"Set {field}: {wanted}")


def finding_of(details: ErrorDetails, root: type[BaseModel] = FineTuneJob) -> Finding:
    """The finding about one mistake of form in a manifest that `root` describes."""
    location = details["loc"]
    path = field_path(location)
    kind = details["type"]
    if kind == "missing" and root is FineTuneJob and path in _REQUIRED_SECTIONS:
        return broken(Code.MISSING_FIELD, _REQUIRED_SECTIONS[path])
    code = _CODES.get(kind, Code.WRONG_TYPE)
    return error(code, path, _rule(details), _remedy(details, root), _shown(details, location))


def field_path(location: Sequence[str | int]) -> str:
    """A location as a path that people read: `resources.env[0].name`; `spec.` is left out.

    A field whose name is empty is written as `""`.
    """
    parts = list(location)
    if len(parts) > 1 and parts[0] == "spec":
        parts = parts[1:]
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            name = part or '""'
            path += f".{name}" if path else name
    return path


def _shown(details: ErrorDetails, location: Sequence[str | int]) -> JsonValue:
    value = details["input"]
    if details["type"] == "missing" or _may_be_secret(location):
        return None
    if isinstance(value, str):
        return value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "…"
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return None


def _may_be_secret(location: Sequence[str | int]) -> bool:
    return "env" in location and location[-1] == "value"


def _rule(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field of the API"
        case "literal_error" | "enum":
            return f"must be one of {_choices(context)}"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}"
        case "value_error":
            return str(context["error"])
        case kind if kind in _LENGTHS:
            return f"must have {_count(context, kind)}"
        case kind if kind in _WANTED:
            return f"must be {_WANTED[kind]}"
        case _:
            message = details["msg"]
            return message[0].lower() + message[1:].replace("Input should", "should")


def _choices(context: Mapping[str, Any]) -> str:
    return str(context["expected"]).replace("'", "").replace(" or ", ", ")


def _remedy(details: ErrorDetails, root: type[BaseModel]) -> str:
    location, context = details["loc"], details.get("ctx", {})
    name = field_path(location).rpartition(".")[2] or "the manifest"
    match details["type"]:
        case "missing":
            return f"Set {field_path(location)}"
        case "extra_forbidden":
            return _unknown_field_remedy(location, root)
        case "literal_error" | "enum":
            return _nearest_choice(details["input"], _choices(context).split(", "))
        case "string_pattern_mismatch":
            form = FORMS.get(context["pattern"])
            return f"Write {name} as {form}" if form else f"Write {name} in that form"
        case "greater_than":
            return f"Use a value over {context['gt']}"
        case "greater_than_equal":
            return f"Use {context['ge']} or more"
        case "less_than":
            return f"Use a value under {context['lt']}"
        case "less_than_equal":
            return f"Use {context['le']} or less"
        case "value_error":
            return "Remove or rename one of them"
        case "float_type" | "int_type" if _is_number_text(details["input"]):
            return _number_remedy(str(details["input"]))
        case kind if kind in _LENGTHS:
            return f"Give {name} {_count(context, kind)}"
        case kind if kind in _WANTED:
            return _typed_remedy(kind, name, _shown(details, location))
        case _:
            return f"Correct {name}; `kubectl explain` and the reference say what it holds"


def _typed_remedy(kind: str, name: str, value: JsonValue) -> str:
    """What to write in place of a value of another type; `value` is None where it is not to be shown."""
    plain = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    match kind:
        case "bool_type":
            return f"Write {name}: true or {name}: false, without quotes"
        case "string_type" if isinstance(value, bool):
            words = "y, yes, on and true" if value else "n, no, off and false"
            return f"Put the value in quotes: without them, {words} are all {plain}"
        case "string_type" if plain:
            return f'Put the value in quotes: {name}: "{plain}"'
        case "string_type":
            return f"Write {name} as one text in quotes"
        case "list_type" | "tuple_type":
            return f"Write {name} as a list: {name}: [{plain or '…'}]"
        case "dict_type" | "model_type":
            return f"Write {name} as a mapping: the names of its fields below it, each with a value"
        case _:
            return f"Give {name} {_WANTED[kind]}, without quotes"


def _count(context: Mapping[str, Any], kind: str) -> str:
    bound, one, several = _LENGTHS[kind]
    number = context[bound]
    return f"{number} {one if number == 1 else several} or {'fewer' if bound == 'max_length' else 'more'}"


def _unknown_field_remedy(location: Sequence[str | int], root: type[BaseModel]) -> str:
    from finetune_api.parameter_map.names import bare, fields_called

    model = model_at(root, location[:-1])
    name = str(location[-1]) or '""'
    if model is None:
        return f"Remove {name}"
    known = field_names(model)
    bare_names = {bare(field): field for field in known}
    if bare(name) in bare_names:
        return f"Did you mean {bare_names[bare(name)]}?"
    # A name that another program has for a field says more than a name of ours that looks like it.
    section = field_path(location[:-1])
    elsewhere = fields_called(name)
    meant = [path for path in elsewhere if path.rpartition(".")[0] == section] or elsewhere[:2]
    if meant:
        shown = [path.removeprefix(f"{section}.") if section else path for path in meant]
        return f"Did you mean {' or '.join(shown)}?"
    near = difflib.get_close_matches(bare(name), bare_names, n=1, cutoff=0.6)
    return (
        f"Did you mean {bare_names[near[0]]}?"
        if near
        else f"Remove {name}; known fields are {', '.join(known)}"
    )


def field_names(model: type[BaseModel]) -> list[str]:
    """Names of a model's fields as manifests write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _nearest_choice(value: object, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else "Use one of these"


def _is_number_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        # NaN and digits of other scripts are numbers for Python; for YAML they are text, quoted or not.
        return math.isfinite(float(value)) and value.isascii()
    except ValueError:
        return False


def _number_remedy(text: str) -> str:
    if "e" in text.lower() and "." not in text:
        mantissa, _, exponent = text.lower().partition("e")
        sign = "" if exponent.startswith(("-", "+")) else "+"
        return f"YAML reads {text} as text: write {mantissa}.0e{sign}{exponent}"
    return f"Remove the quotes: {text}"
