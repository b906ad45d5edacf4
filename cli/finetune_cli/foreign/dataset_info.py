"""LLaMA-Factory's dataset_info.json, which says what the names of its data sets stand for.

Read as of the project's commits 01d3ac67 and 85b0f312 (src/llamafactory/data/parser.py).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetune_cli.foreign import rules
from finetune_cli.foreign.rules import Left, Mapped, NotMapped, Read, Rule, Table, To

FILE: Final = "dataset_info.json"
PREFIX: Final = "dataset_info"
EVAL_PREFIX: Final = "eval_dataset_info"

DEFAULT_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
}
"""Of each formatting, for an entry without `columns`. One with them has no other column than it names."""

DEFAULT_TAGS: Final[Mapping[str, str]] = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""For an entry without `tags`. One with them has no other tag than it names."""

OPENAI_TAGS: Final[Mapping[str, str]] = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""sharegpt's turns with these tags are our messages."""


def _tag(*ours: str) -> Read:
    """Return the rule of a role's name, which a job does not rename."""
    return Read(
        lambda value: (
            Mapped({}, "its usual name")
            if value in ours
            else NotMapped(f"roles keep their usual names: rename {value!r} to {ours[0]!r} in the data")
        )
    )


def _in_the_cloud(section: str) -> Read:
    """Return the rule of an object's address."""
    return Read(
        lambda value: (
            Mapped({f"{section}.s3.uri": value})
            if str(value).startswith("s3://")
            else NotMapped("a job reads s3:// addresses")
        )
    )


_COLUMNS: Final = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": "history",
    "system": "system",
    "tools": "tools",
    "messages": "messages",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "label",
}

TABLE: Final[Table] = {
    "hf_hub_url": To("dataset.train.hub.id"),
    "revision": To("dataset.train.hub.revision"),
    "subset": To("dataset.train.hub.config"),
    "split": To("dataset.train.hub.split"),
    "file_name": rules.data("dataset.train"),
    "num_samples": To("dataset.maxSamples"),
    "formatting": rules.Choice(
        "dataset.format", {name: name for name in ("alpaca", "sharegpt", "messages", "promptCompletion")}
    ),
    "ranking": rules.flag({"dataset.format": "preference"}),
    "ms_hub_url": Left("ModelScope is not read: name the same data set on the Hugging Face hub"),
    "om_hub_url": Left("Modelers is not read: name the same data set on the Hugging Face hub"),
    "cloud_file_name": _in_the_cloud("dataset.train"),
    "script_url": Left("scripts that load data are not run"),
    "folder": Left("name the file in dataset.train"),
    **{f"columns.{theirs}": To(f"dataset.columns.{ours}") for theirs, ours in _COLUMNS.items()},
    **{f"columns.{kind}": Left("only text is trained on") for kind in ("images", "videos", "audios")},
    "tags.role_tag": To("dataset.columns.role"),
    "tags.content_tag": To("dataset.columns.content"),
    "tags.user_tag": _tag("human", "user"),
    "tags.assistant_tag": _tag("gpt", "assistant"),
    "tags.observation_tag": _tag("observation", "tool"),
    "tags.function_tag": _tag("function_call"),
    "tags.system_tag": _tag("system"),
}


def _of_evaluation(key: str, rule: Rule) -> Rule:
    if key in ("formatting", "ranking") or key.startswith(("columns.", "tags.")):
        return Left("evaluation data has the form of the training data")
    match rule:
        case To(path) if path.startswith("dataset.train."):
            return To(path.replace("dataset.train", "dataset.eval"))
        case Left(reason):
            return Left(reason.replace("dataset.train", "dataset.eval"))
    return _EVAL_RULES[key]


_EVAL_RULES: Final[Table] = {
    "cloud_file_name": _in_the_cloud("dataset.eval"),
    "file_name": rules.data("dataset.eval"),
    "num_samples": To("evaluation.maxSamples"),
}

EVAL_TABLE: Final[Table] = {key: _of_evaluation(key, rule) for key, rule in TABLE.items()}
"""Of the evaluation data only its place is read."""


def entries(document: Mapping[str, Any], beside: Path) -> dict[str, Any]:
    """Return what the file says of the data sets that `document` names, by the keys that name them.

    `beside` is the directory of the configuration. LLaMA-Factory looks for `dataset_dir` where the command
    runs; where it is not there, it is looked for beside the configuration. Nothing where there is no such
    file or no such name in it.
    """
    found = {}
    folder = Path(str(document.get("dataset_dir", "data")))
    file = next((file for file in (folder / FILE, beside / folder / FILE) if file.is_file()), None)
    known = _parsed(file) if file is not None else {}
    for key, prefix in (("dataset", PREFIX), ("eval_dataset", EVAL_PREFIX)):
        name = document.get(key)
        entry = known.get(name) if isinstance(name, str) else None
        if file is not None and isinstance(entry, dict):
            placed = _with_its_file_in(file.parent, entry)
            in_form = _with_one_format(placed, document.get("stage")) if key == "dataset" else placed
            found[key] = {prefix: in_form}
    return found


def _with_its_file_in(folder: Path, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say where the file is from where the command runs: the entry says it from its own folder."""
    name = entry.get("file_name")
    if not isinstance(name, str):
        return entry
    place = os.path.normpath(folder / name)
    return {**entry, "file_name": place if place.startswith(("/", "..")) else f"./{place}"}


def _with_one_format(entry: Mapping[str, Any], stage: Any) -> Mapping[str, Any]:
    """Ranked pairs are preferences, whatever the formatting; sharegpt's turns of a user are messages.

    Prompts and answers without a column of further input, which our alpaca would look for, are completions.
    Columns that the entry leaves unsaid are said where the same format of ours calls them otherwise.
    """
    tags, columns = entry.get("tags"), entry.get("columns")
    if entry.get("ranking"):
        return {key: value for key, value in entry.items() if key != "formatting"}
    if isinstance(tags, dict) and tags.get("user_tag") == OPENAI_TAGS["user_tag"]:
        return {"columns": DEFAULT_COLUMNS["sharegpt"], **entry, "formatting": "messages"}
    if entry.get("formatting", "alpaca") != "alpaca":
        return entry
    if stage == "pt":
        return {"columns": {"prompt": DEFAULT_COLUMNS["alpaca"]["prompt"]}, **entry}
    if isinstance(columns, dict) and {"prompt", "response"} <= set(columns) <= _WITHOUT_INPUT:
        return {**entry, "formatting": "promptCompletion"}
    return entry


_WITHOUT_INPUT: Final = {"prompt", "response", "system", "tools", "kto_tag", "images", "videos", "audios"}
"""Columns of an entry that is our promptCompletion."""


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
