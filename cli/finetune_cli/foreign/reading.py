"""Read a foreign configuration with a table: every key is answered for."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_api.printable import printable
from finetune_cli.foreign.rules import Left, Mapped, NotMapped, Table

JSON_KEYS = ("lr_scheduler_kwargs",)
"""Sections that transformers also reads from a text of JSON, as command lines have them."""

_SECRET = re.compile(r"(?<!bos_)(?<!eos_)(?<!pad_)(?<!unk_)(token|secret|password|key)$")
"""Keys whose value may be a secret; a tokenizer's own tokens are none."""

ADAPTERS_ON_4_BIT = ("nf4", "fp4", "int4")


@dataclass(frozen=True)
class Line:
    """What became of one key."""

    key: str
    value: Any
    paths: tuple[str, ...]
    """Fields of ours that it has set; empty where it could not be, or need not be."""
    mapped: bool
    note: str

    def __str__(self) -> str:
        target = f" → {', '.join(self.paths)}" if self.paths else ""
        verdict = target or (" → nothing to set" if self.mapped else " → not mapped")
        return printable(f"{self.key}: {self.shown}{verdict}{f' ({self.note})' if self.note else ''}")

    @property
    def shown(self) -> Any:
        """The value, unless it may be a secret."""
        secret = isinstance(self.value, str) and _SECRET.search(self.key)
        return "(not shown)" if secret else self.value


@dataclass(frozen=True)
class Reading:
    """The spec that a foreign configuration describes, and what became of each of its keys."""

    spec: dict[str, Any]
    lines: tuple[Line, ...]


def read(document: Mapping[str, Any], table: Table, *, within: str = "") -> Reading:
    """Return what `document` says of a job. `within` is a prefix of its keys that the table leaves out."""
    values: dict[str, Any] = {}
    weak: set[str] = set()
    setters: dict[str, str] = {}
    lines = []
    for key, value in flatten(document):
        result = _meaning(key, value, table, within)
        if isinstance(result, NotMapped):
            lines.append(Line(key, value, (), False, result.reason))
            continue
        refused = {}
        for path, wanted in result.values.items():
            gives_way = result.weak or _is_general(path, wanted)
            if path not in values or (path in weak and not gives_way):
                values[path] = wanted
                setters[path] = key
                (weak.add if gives_way else weak.discard)(path)
            elif values[path] != wanted:
                refused[path] = setters[path]
        note = "; ".join(f"{path} is what {other} says" for path, other in refused.items()) or result.note
        lines.append(
            Line(key, value, tuple(path for path in result.values if path not in refused), not refused, note)
        )
    moved = _of_the_stage(values)
    lines = [replace(line, paths=tuple(moved.get(path, path) for path in line.paths)) for line in lines]
    values = {moved.get(path, path): value for path, value in values.items()}
    if values.get("training.stage") == "pretrain" and values.pop("dataset.packing", None) is not None:
        lines = [_of_one_stream(line) if line.paths == ("dataset.packing",) else line for line in lines]
    values, lines = _with_one_source(values, lines)
    values, lines = _of_one_stage(values, lines)
    return Reading(nested(_with_the_form_of_the_stage(_consistent(values))), tuple(lines))


_STAGES = {"dpo": "dpo", "kto": "kto", "ppo": "ppo", "grpo": "grpo", "rewardModel": "rm"}
"""Sections of training that belong to one stage."""


def _of_one_stage(values: dict[str, Any], lines: list[Line]) -> tuple[dict[str, Any], list[Line]]:
    """Leave the settings of other stages out, which have no effect in the other programs either."""
    stage = values.get("training.stage", "sft")
    others = tuple(f"training.{section}." for section, owner in _STAGES.items() if owner != stage)
    return {path: value for path, value in values.items() if not path.startswith(others)}, [
        replace(line, paths=(), mapped=False, note=f"no setting of stage {stage}")
        if any(path.startswith(others) for path in line.paths)
        else line
        for line in lines
    ]


def _with_one_source(values: dict[str, Any], lines: list[Line]) -> tuple[dict[str, Any], list[Line]]:
    """Leave files out that are named within a data set of the hub."""
    within = {f"{part}.path" for part in ("dataset.train", "dataset.eval") if f"{part}.hub.id" in values}
    refused = within & set(values)
    note = "files within a data set of the hub are not chosen: name its configuration or split"
    return {path: value for path, value in values.items() if path not in refused}, [
        replace(line, paths=(), mapped=False, note=note) if refused & set(line.paths) else line
        for line in lines
    ]


def _of_one_stream(line: Line) -> Line:
    """Packing of plain text, which is no choice here."""
    return replace(line, paths=(), note="plain text is one stream in stage pretrain")


def _of_the_stage(values: Mapping[str, Any]) -> Mapping[str, str]:
    """Return where a value goes that other programs call alike in several stages: by our path for dpo."""
    beta, prompt = "training.dpo.beta", "dataset.columns.instruction"
    stages = {"kto": "training.kto.beta", "grpo": "training.grpo.klCoefficient"}
    stage = values.get("training.stage")
    moved = {beta: stages[stage]} if stage in stages and beta in values else {}
    if values.get("dataset.format") == "preference":
        moved["dataset.columns.messages"] = "dataset.columns.prompt"
    if prompt in values and stage == "pretrain":
        moved[prompt] = "dataset.columns.text"
    elif prompt in values and values.get("dataset.format") in ("preference", "promptCompletion"):
        moved[prompt] = "dataset.columns.prompt"
    if values.get("dataset.format") == "promptCompletion":
        moved["dataset.columns.output"] = "dataset.columns.completion"
    return moved


def with_defaults(
    reading: Reading, document: Mapping[str, Any], table: Table, defaults: Mapping[str, Any]
) -> Reading:
    """Return `reading` with what the program does where the document is silent, a line for each such key.

    A key whose fields another key has set already says nothing; of two that stand for each other (a ratio and
    a number of steps) the document's counts.
    """
    taken = {path for line in reading.lines for path in line.paths}
    if "training.schedule.warmupSteps" in taken:
        taken.add("training.schedule.warmupRatio")
    if "training.maxSteps" in taken:
        taken.add("training.epochs")
    filled, lines = dict(_paths(reading.spec)), list(reading.lines)
    for key, value in defaults.items():
        result = _meaning(key, value, table, "") if key not in document else NotMapped("")
        if isinstance(result, Mapped) and not taken & set(result.values):
            filled |= {path: wanted for path, wanted in result.values.items() if path not in filled}
            note = "not in the file: its default there"
            lines.append(Line(key, value, tuple(result.values), True, note))
    return Reading(nested(filled), tuple(lines))


def _paths(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in spec.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _paths(value, path)
        else:
            yield path, value


def _is_general(path: str, value: Any) -> bool:
    """Whether a key that says more may replace the value: dora and rslora are lora elsewhere."""
    return path == "method.type" and value in ("lora", "qlora")


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its dotted key; lists of mappings are entered, other lists are values."""
    if prefix.endswith(JSON_KEYS) and isinstance(value, str):
        value = _from_json(value)
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from flatten(child, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from flatten(item, f"{prefix}[{index}]")
    else:
        yield prefix, value


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted paths as sections within sections."""
    result: dict[str, Any] = {}
    for path, value in values.items():
        *parents, name = path.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
    return result


def _meaning(key: str, value: Any, table: Table, within: str) -> Mapped | NotMapped:
    if re.search(r"\[[1-9]\d*\]", key):
        return NotMapped("a job reads one data set: join them first")
    name = re.sub(r"\[0\]", "[]", key.removeprefix(within))
    rule = table.get(name)
    if rule is None:
        return _meaning_of_its_section(name, table)
    if value is None or value == {}:
        return Mapped({}, "not set there either")
    try:
        return rule.read(value)
    except (TypeError, ValueError, KeyError, AttributeError):
        return NotMapped("the value is not of the kind that the key wants")


def _meaning_of_its_section(name: str, table: Table) -> NotMapped:
    """Return why a key has no place: the reason that is given for the section that it stands in."""
    while "." in name:
        name = name.rpartition(".")[0]
        section = table.get(name) or table.get(name.removesuffix("[]"))
        if isinstance(section, Left):
            return NotMapped(section.reason)
    return NotMapped("this program does not know the key")


def _consistent(values: dict[str, Any]) -> dict[str, Any]:
    """Bring together what other programs say apart: adapters on a 4-bit base are qlora here."""
    if values.get("quantization.type") in ADAPTERS_ON_4_BIT and values.get("method.type", "lora") == "lora":
        return values | {"method.type": "qlora"}
    if values.get("method.type") == "qlora" and "quantization.type" not in values:
        return values | {"quantization.type": "nf4"}
    return values


def _with_the_form_of_the_stage(values: dict[str, Any]) -> dict[str, Any]:
    """Bring together what other programs leave unsaid: plain text for pretrain, pairs for dpo and rm."""
    forms = {"pretrain": "text", "dpo": "preference", "rm": "preference"}
    form = forms.get(values.get("training.stage", "sft"))
    unsaid = "dataset.format" not in values or (form == "text" and values["dataset.format"] == "alpaca")
    return values | {"dataset.format": form} if form is not None and unsaid else values
