"""Axolotl's lists of data sets: `datasets`, `test_datasets`, and `pretraining_dataset` for plain text."""

from typing import Any, Final

from finetune_cli.foreign import rules, templates
from finetune_cli.foreign.rules import Left, Mapped, NotMapped, Read, Result, Rule, Table, To

_KINDS_OF_FILES: Final = ("json", "csv", "parquet", "text", "arrow")
"""Names that say how `data_files` are read, and that are no data sets."""

_FORMATS: Final = {
    "alpaca": "alpaca",
    "sharegpt": "sharegpt",
    "chat_template": "messages",
    "chat_template.default": "preference",
}
_TEMPLATED: Final = "its prompts there are messages of a user, in the column messages where none is named"


def chat_template(value: Any) -> Result:
    """Read the name of a chat template."""
    if value in templates.AXOLOTL:
        return Mapped({templates.PATH: templates.AXOLOTL[value]})
    if value in ("tokenizer_default", "jinja"):
        note = "the model's own, as here" if value == "tokenizer_default" else "chat_template_jinja is used"
        return Mapped({}, note)
    return NotMapped(templates.OTHERWISE)


def _format(value: Any) -> Result:
    if value == "completion":
        return Mapped(
            {"dataset.format": "text", "training.stage": "pretrain"}, "every token of it is learned"
        )
    if value in _FORMATS:
        note = _TEMPLATED if value == "chat_template.default" else ""
        return Mapped({"dataset.format": _FORMATS[value]}, note)
    return NotMapped("no format of ours: use dataset.format custom with dataset.columns")


def _path(section: str) -> Read:
    def read(value: Any) -> Result:
        if value in _KINDS_OF_FILES:
            return Mapped({}, "data_files says where the data is")
        if str(value).startswith("s3://"):
            return Mapped({f"{section}.s3.uri": value})
        return rules.data(section).read(value)

    return Read(read)


def _files(section: str) -> Read:
    def read(value: Any) -> Result:
        files = value if isinstance(value, list) else [value]
        if len(files) != 1:
            return NotMapped("a job reads one file, or one directory: join them first")
        return rules.data(section).read(files[0])

    return Read(read)


def _roles(value: Any) -> Result:
    if value == ["assistant"]:
        return Mapped({}, "answers are what is learned here too")
    return NotMapped("answers are what is learned: see dataset.preprocessing.supervise")


def _pretraining(rule: Rule) -> Read:
    """Return the rule of a key that says beside its meaning that plain text is learned."""

    def read(value: Any) -> Result:
        result = rule.read(value)
        if isinstance(result, NotMapped):
            return result
        return Mapped({**result.values, "training.stage": "pretrain", "dataset.format": "text"}, result.note)

    return Read(read)


def _as_it_is(value: Any) -> Result:
    if value == "{instruction}":
        return Mapped({}, "the prompt as it is")
    return NotMapped("words around a prompt: use dataset.format custom with columns.promptTemplate")


def _prompts(column: str) -> Read:
    return Read(
        lambda value: Mapped({"dataset.format": "promptCompletion", f"dataset.columns.{column}": value})
    )


def _pairs(column: str) -> Read:
    return Read(lambda value: Mapped({"dataset.format": "preference", f"dataset.columns.{column}": value}))


_IN_A_FORM: Final = "words around a text: render the data beforehand"
_MERGED: Final = "records are taken as they are"


def _source(key: str, section: str) -> dict[str, Rule]:
    """Return the rules of where the data of one list is."""
    return {
        f"{key}[].path": _path(section),
        f"{key}[].data_files": _files(section),
        f"{key}[].split": To(f"{section}.hub.split"),
        f"{key}[].name": To(f"{section}.hub.config"),
        f"{key}[].revision": To(f"{section}.hub.revision"),
        f"{key}[].ds_type": Read(lambda _: Mapped({}, "the file's ending says it")),
    }


TABLE: Final[Table] = {
    **_source("datasets", "dataset.train"),
    **_source("test_datasets", "dataset.eval"),
    "datasets[].type": Read(_format),
    "datasets[].field": To("dataset.columns.text"),
    "datasets[].field_messages": To("dataset.columns.messages"),
    "datasets[].field_tools": To("dataset.columns.tools"),
    "datasets[].field_chosen": To("dataset.columns.chosen"),
    "datasets[].field_rejected": To("dataset.columns.rejected"),
    "datasets[].message_property_mappings.role": To("dataset.columns.role"),
    "datasets[].message_property_mappings.content": To("dataset.columns.content"),
    "datasets[].message_property_mappings": Left("messages have a role and a content"),
    "datasets[].message_field_role": To("dataset.columns.role"),
    "datasets[].message_field_content": To("dataset.columns.content"),
    "datasets[].chat_template": Read(chat_template),
    "datasets[].chat_template_jinja": To("model.tokenizer.chatTemplate"),
    "datasets[].roles_to_train": Read(_roles),
    "datasets[].roles": Left("roles keep their usual names: rename them in the data"),
    "datasets[].type.field_instruction": _prompts("prompt"),
    "datasets[].type.field_output": _prompts("completion"),
    "datasets[].type.field_system": To("dataset.columns.system"),
    "datasets[].type.system_prompt": To("dataset.preprocessing.systemPrompt"),
    "datasets[].type.format": Read(_as_it_is),
    "datasets[].type.no_input_format": Read(_as_it_is),
    "datasets[].type.field_prompt": To("dataset.columns.prompt"),
    "datasets[].type.field_completion": _prompts("completion"),
    "datasets[].type.field_label": To("dataset.columns.label"),
    "datasets[].type.field_chosen": _pairs("chosen"),
    "datasets[].type.field_rejected": _pairs("rejected"),
    "datasets[].type.field_input": Left("further input has a column in dataset.format alpaca"),
    **{
        f"datasets[].type.{key}": Left(_IN_A_FORM)
        for key in ("system_format", "prompt_format", "chosen_format", "rejected_format", "completion_format")
    },
    **{
        f"datasets[].{key}": Left(_MERGED)
        for key in (
            "conversation",
            "input_format",
            "input_transform",
            "field_human",
            "field_model",
            "field_thinking",
            "template_thinking_key",
            "split_thinking",
            "message_field_training",
            "message_field_training_detail",
            "drop_system_message",
            "logprobs_field",
            "temperature",
            "train_on_eos",
            "train_on_eot",
        )
    },
    **{f"datasets[].{key}": Left("data sets are read whole") for key in ("shards", "shards_idx")},
    "datasets[].preprocess_shards": Left("data sets are read whole"),
    "datasets[].trust_remote_code": Left("scripts that load data are not run"),
    "datasets": Left("a list of data sets, each with a path"),
    "test_datasets": Left("evaluation data has the form of the training data"),
    "pretraining_dataset": _pretraining(_path("dataset.train")),
    "pretraining_dataset[].path": _pretraining(_path("dataset.train")),
    "pretraining_dataset[].data_files": _pretraining(_files("dataset.train")),
    "pretraining_dataset[].split": To("dataset.train.hub.split"),
    "pretraining_dataset[].name": To("dataset.train.hub.config"),
    "pretraining_dataset[].text_column": To("dataset.columns.text"),
    "pretraining_dataset[].type": Read(lambda _: Mapped({}, "plain text, as training.stage pretrain has it")),
    "pretraining_dataset[].skip": Left("data sets are read whole"),
    "pretraining_dataset[].trust_remote_code": Left("scripts that load data are not run"),
}
