"""Axolotl's lists of data sets: what a job's source, format and columns are there."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from finetune_cli.foreign.draft import Draft

_SOURCE: Final = {"hub.id": "path", "path": "path", "s3.uri": "path", "hub.split": "split"}
_OF_SUPERVISED: Final = {"hub.config": "name"}
"""Fields of a source that only data of sft has a key for."""
_REVISION: Final = {"hub.revision": "revision"}

_OWN_TEXT: Final = "it renders this format as text of its own form, not through the chat template"
_AS_IT_IS: Final = "{instruction}"
"""A prompt without words around it."""


def write(draft: Draft) -> None:
    """Write `datasets` and `test_datasets`: nothing where the source is none that it has."""
    shape = _shape(draft)
    for part, key in (("dataset.train", "datasets"), ("dataset.eval", "test_datasets")):
        source = _source(draft, part)
        if source:
            draft.document[key] = [source | shape]
        if key == "datasets" and not source:
            draft.lose("dataset.format", "there is no data set in the file that it could belong to")


def _source(draft: Draft, part: str) -> dict[str, Any]:
    supervised = "rl" not in draft.document
    fields = _SOURCE | _REVISION | (_OF_SUPERVISED if supervised else {})
    found: dict[str, Any] = {}
    for ours, theirs in fields.items():
        path = f"{part}.{ours}"
        if path in draft.values:
            found[theirs] = draft.values[path]
            draft.say(path)
    return found if "path" in found else {}


def _shape(draft: Draft) -> dict[str, Any]:
    """Return what says the form of the records, in the way of the stage."""
    form, stage = draft.values["dataset.format"], draft.document.get("rl", "sft")
    if stage == "grpo" and form == "promptCompletion" and _column(draft, "prompt") == "prompt":
        draft.say("dataset.format")
        return {}
    if stage == "kto" and form == "promptCompletion":
        return _judged(draft)
    if stage in ("dpo", "ipo", "simpo") and form == "preference":
        return _pairs(draft)
    writer = _SUPERVISED.get(form) if stage == "sft" else None
    if writer is None:
        draft.lose("dataset.format", f"it has no such format in stage {stage}")
        return {}
    draft.say("dataset.format")
    return writer(draft)


def _column(draft: Draft, ours: str, usual: str = "") -> str:
    """Return what a column is called, which is then said."""
    path = f"dataset.columns.{ours}"
    draft.say(path)
    return str(draft.values.get(path, usual or ours))


def _without_template(draft: Draft) -> None:
    path = "dataset.preprocessing.useChatTemplate"
    draft.lose(path, _OWN_TEXT) if draft.values[path] else draft.say(path)


def _judged(draft: Draft) -> dict[str, Any]:
    draft.say("dataset.format")
    _without_template(draft)
    columns = {f"field_{ours}": _column(draft, ours) for ours in ("prompt", "completion", "label")}
    return {"type": columns}


def _pairs(draft: Draft) -> dict[str, Any]:
    draft.say("dataset.format")
    columns = {"field_messages": "prompt", "field_chosen": "chosen", "field_rejected": "rejected"}
    named = {theirs: _column(draft, ours) for theirs, ours in columns.items()}
    if draft.values["dataset.preprocessing.useChatTemplate"]:
        return {"type": "chat_template.default", **named}
    return {"type": {"field_prompt": named.pop("field_messages"), **named}}


def _messages(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "chat_template"}
    if "dataset.columns.messages" in draft.values:
        found["field_messages"] = _column(draft, "messages")
    if "dataset.columns.tools" in draft.values:
        found["field_tools"] = _column(draft, "tools")
    names = {key: draft.values.get(f"dataset.columns.{key}", key) for key in ("role", "content")}
    if names != {"role": "role", "content": "content"}:
        found["message_property_mappings"] = {key: _column(draft, key) for key in names}
    return found


def _turns(draft: Draft) -> dict[str, Any]:
    """sharegpt's turns, for which Axolotl has no type any more: a chat template over other keys."""
    names = {"role": _column(draft, "role", "from"), "content": _column(draft, "content", "value")}
    found = {"type": "chat_template", "field_messages": _column(draft, "messages", "conversations")}
    return {**found, "message_property_mappings": names}


def _text(draft: Draft) -> dict[str, Any]:
    column = _column(draft, "text")
    return {"type": "completion"} | ({"field": column} if column != "text" else {})


def _alpaca(draft: Draft) -> dict[str, Any]:
    _without_template(draft)
    renamed = [
        ours for ours in ("instruction", "input", "output") if f"dataset.columns.{ours}" in draft.values
    ]
    for ours in renamed:
        draft.lose(f"dataset.columns.{ours}", "its alpaca has columns of these names only")
    return {"type": "alpaca"}


def _prompts(draft: Draft) -> dict[str, Any]:
    return _plain(draft, _column(draft, "prompt"), _column(draft, "completion"))


def _table(draft: Draft) -> dict[str, Any]:
    if "dataset.columns.instruction" in draft.values:
        draft.lose("dataset.columns.instruction", "a table has one column of prompts there")
    return _plain(draft, _column(draft, "input"), _column(draft, "output"))


def _plain(draft: Draft, prompt: str, answer: str) -> dict[str, Any]:
    _without_template(draft)
    fields = {"field_instruction": prompt, "field_output": answer}
    return {"type": {**fields, "format": _AS_IT_IS, "no_input_format": _AS_IT_IS}}


_SUPERVISED: Final[Mapping[str, Callable[[Draft], dict[str, Any]]]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "sharegpt": _turns,
    "text": _text,
    "promptCompletion": _prompts,
    "csv": _table,
}
