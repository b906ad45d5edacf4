"""Write what a job says of its data as an entry of LLaMA-Factory's dataset_info.json."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from finetune_cli import json_writer
from finetune_cli.errors import CommandError
from finetune_cli.foreign.dataset_info import DEFAULT_COLUMNS, DEFAULT_TAGS, OPENAI_TAGS

Values = Mapping[str, Any]
Entry = dict[str, Any]

_SOURCE: Final = {
    "hub.id": "hf_hub_url",
    "hub.revision": "revision",
    "hub.config": "subset",
    "hub.split": "split",
    "path": "file_name",
    "s3.uri": "cloud_file_name",
}
"""Fields of a source of ours, and their names there."""


@dataclass(frozen=True)
class _Form:
    """How a format of ours is written there."""

    formatting: str
    columns: Mapping[str, tuple[str, str]]
    """Their column: ours, and its name in the records where the job is silent."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """Their column: ours, for columns that they read only where the entry names them."""
    more: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


_SYSTEM: Final = {"system": "system"}

_CSV: Final = _Form("alpaca", {"prompt": ("input", "input"), "response": ("output", "output")}, _SYSTEM)
_CSV_OF_TASKS: Final = _Form(
    "alpaca",
    {"prompt": ("instruction", ""), "query": ("input", ""), "response": ("output", "output")},
    _SYSTEM,
)
"""A csv whose job names a column of tasks, and may name one of further input."""

_FORMS: Final[Mapping[str, _Form]] = {
    "alpaca": _Form(
        "alpaca",
        {
            "prompt": ("instruction", "instruction"),
            "query": ("input", "input"),
            "response": ("output", "output"),
        },
        {**_SYSTEM, "history": "history"},
    ),
    "csv": _CSV,
    "text": _Form("alpaca", {"prompt": ("text", "text")}),
    "promptCompletion": _Form(
        "alpaca", {"prompt": ("prompt", "prompt"), "response": ("completion", "completion")}, _SYSTEM
    ),
    "preference": _Form(
        "alpaca",
        {
            "prompt": ("prompt", "prompt"),
            "chosen": ("chosen", "chosen"),
            "rejected": ("rejected", "rejected"),
        },
        _SYSTEM,
        {"ranking": True},
    ),
    "sharegpt": _Form("sharegpt", {"messages": ("messages", "conversations")}, {**_SYSTEM, "tools": "tools"}),
    "messages": _Form(
        "sharegpt", {"messages": ("messages", "messages")}, {"tools": "tools"}, tags=OPENAI_TAGS
    ),
}


def registered(values: Values, part: str, directory: Path = Path()) -> tuple[Entry, set[str]]:
    """The entry for `dataset.train` or `dataset.eval` (`part`), and the paths of ours that it says.

    `directory` is where dataset_info.json will lie: LLaMA-Factory looks for files from there, a job from
    where the command runs. Empty where LLaMA-Factory has no such source or format.
    """
    form = _form(values)
    source = {
        theirs: (f"{part}.{ours}", values[f"{part}.{ours}"])
        for ours, theirs in _SOURCE.items()
        if f"{part}.{ours}" in values
    }
    if form is None or not {"hf_hub_url", "file_name", "cloud_file_name"} & set(source):
        return {}, set()
    columns, named = _columns(form, values)
    entry = {theirs: value for theirs, (_, value) in source.items()} | {"formatting": form.formatting}
    if "file_name" in entry:
        entry["file_name"] = _seen_from(directory, entry["file_name"])
    entry |= dict(form.more) | ({"columns": columns} if columns else {})
    if tags := _tags(form, values):
        entry["tags"] = tags
        named |= {f"dataset.columns.{ours}" for ours in _TAGS}
    return entry, {"dataset.format", *named, *(path for path, _ in source.values())}


def _form(values: Values) -> _Form | None:
    known = _FORMS.get(values["dataset.format"])
    return _CSV_OF_TASKS if known is _CSV and "dataset.columns.instruction" in values else known


def _seen_from(directory: Path, file: str) -> str:
    return file if Path(file).is_absolute() else os.path.relpath(file, directory.resolve())


def _columns(form: _Form, values: Values) -> tuple[dict[str, str], set[str]]:
    """The columns that the entry has to name, and the paths of ours that they say.

    None, or all that the format reads: an entry that names one has no column but those that it names.
    """
    wanted = {theirs: (ours, name) for theirs, (ours, name) in form.columns.items()}
    wanted |= {theirs: (ours, "") for theirs, ours in form.optional.items()}
    if values.get("training.stage") == "kto":
        wanted["kto_tag"] = ("label", "label")
    columns = {theirs: values.get(f"dataset.columns.{ours}", name) for theirs, (ours, name) in wanted.items()}
    columns = {theirs: name for theirs, name in columns.items() if name}
    paths = {f"dataset.columns.{ours}" for ours, _ in wanted.values()}
    return ({} if columns == DEFAULT_COLUMNS[form.formatting] else columns), paths


_TAGS: Final = {"role": "role_tag", "content": "content_tag"}
"""Keys of a turn by our names, and theirs."""


def _tags(form: _Form, values: Values) -> dict[str, str]:
    """What turns call their keys and roles: nothing, or all of it, as with columns."""
    named = {theirs: values.get(f"dataset.columns.{ours}") for ours, theirs in _TAGS.items()}
    tags = {**DEFAULT_TAGS, **form.tags, **{theirs: name for theirs, name in named.items() if name}}
    return {} if tags == DEFAULT_TAGS else tags


_ELSEWHERE: Final = "Mend it, or write into another directory with -o"


def merged(entries: Mapping[str, Entry], file: Path, *, force: bool) -> str:
    """The directory's dataset_info.json with the entries beside what is there already.

    Raises `CommandError` for a file that is none, and for an entry that would change without `force`.
    """
    known: dict[str, Any] = {}
    if file.exists():
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CommandError(f"{file}: can't be read as JSON: {error}. {_ELSEWHERE}") from None
        if not isinstance(known, dict):
            raise CommandError(f"{file}: is no mapping of names to data sets. {_ELSEWHERE}")
    for name, entry in entries.items():
        if name in known and known[name] != entry and not force:
            raise CommandError(f"{file}: {name} is another data set there; --force overwrites it")
    return as_text({**known, **entries})


def as_text(entries: Mapping[str, Entry]) -> str:
    """dataset_info.json with these entries."""
    return json_writer.dump(entries) + "\n"
