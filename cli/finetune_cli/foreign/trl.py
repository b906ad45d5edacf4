"""TRL's command line: `trl sft --model_name_or_path … --use_peft`."""

from typing import Any, Final

from finetune_cli.foreign import arguments, rules
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To, flag, switch

NAME: Final = "trl"

STAGES: Final = {"sft": "sft", "dpo": "dpo", "kto": "kto", "grpo": "grpo", "reward": "rm"}


def parse(words: list[str]) -> dict[str, Any]:
    """Return the options of a command as a document; `trl sft` becomes `command: sft`.

    Options are `--key value`, `--key=value`, `--flag`, and `--key a b c` for lists. Raises `ValueError`.
    """
    from finetune_cli.yaml_reader import YamlError, parse_scalar

    words = words[1:] if words[:1] == ["trl"] else words
    document: dict[str, Any] = {}
    key = ""
    for word in words:
        if word.startswith("--"):
            key, equals, value = _split(word)
            document[key] = parse_scalar(value) if equals else True
            continue
        if not key:
            if "command" in document or word.startswith("-"):
                raise ValueError(f"{word}: options begin with --")
            document["command"] = word
            continue
        try:
            value_read = parse_scalar(word)
        except YamlError:
            value_read = word
        before = document[key]
        if before is True:
            document[key] = value_read
        else:
            document[key] = [*before, value_read] if isinstance(before, list) else [before, value_read]
    return document


def _split(word: str) -> tuple[str, str, str]:
    key, equals, value = word[2:].partition("=")
    return key.replace("-", "_"), equals, value


def _target(value: Any) -> Result:
    return rules.listed("method.lora.targetModules").read([value] if isinstance(value, str) else value)


def _padding(value: Any) -> Result:
    return (
        Mapped({}, "nothing is padded")
        if value
        else NotMapped("batches are padded where they are not packed")
    )


def _command(value: Any) -> Result:
    if value in STAGES:
        return Mapped({"training.stage": STAGES[value]})
    return NotMapped(f"there is no stage {value!r}")


TABLE: Final[Table] = {
    **arguments.TRAINER,
    "command": Read(_command),
    "config": Left("a file of this machine: import it too, or name its options here"),
    "model_name_or_path": Read(rules.model),
    "model_revision": To("model.revision"),
    "dtype": Choice("model.loadPrecision", arguments.DTYPES),
    "torch_dtype": Choice("model.loadPrecision", arguments.DTYPES),
    "attn_implementation": To("model.attention"),
    "trust_remote_code": To("model.trustRemoteCode"),
    "use_peft": switch("method.type", "lora", "full"),
    "lora_r": To("method.lora.rank"),
    "lora_alpha": To("method.lora.alpha"),
    "lora_dropout": To("method.lora.dropout"),
    "lora_target_modules": Read(_target),
    "lora_modules_to_save": rules.listed("method.lora.modulesToSave"),
    "lora_task_type": Choice(
        "method.lora.taskType", {"CAUSAL_LM": "causalLm", "SEQ_CLS": "sequenceClassification"}
    ),
    "lora_target_parameters": Left("adapters go to modules: see method.lora.targetModules"),
    "use_rslora": To("method.lora.rankStabilized"),
    "use_dora": flag({"method.type": "dora"}),
    "load_in_8bit": flag({"quantization.type": "int8"}, weak=True),
    "load_in_4bit": flag({"quantization.type": "nf4"}, weak=True),
    "bnb_4bit_quant_type": Choice("quantization.type", {"nf4": "nf4", "fp4": "fp4"}),
    "use_bnb_nested_quant": To("quantization.doubleQuantization"),
    "bnb_4bit_quant_storage": Choice("quantization.storageType", {**arguments.DTYPES, "uint8": "uint8"}),
    "dataset_name": rules.data("dataset.train"),
    "dataset_config": To("dataset.train.hub.config"),
    "dataset_train_split": To("dataset.train.hub.split"),
    "dataset_test_split": Left("another data set: see dataset.eval"),
    "dataset_streaming": To("dataset.streaming"),
    "dataset_text_field": To("dataset.columns.text"),
    "dataset_num_proc": To("dataset.preprocessing.workers"),
    "max_length": To("training.maxSequenceLength"),
    "max_seq_length": To("training.maxSequenceLength"),
    "packing": To("dataset.packing"),
    "packing_strategy": Left("records are packed whole, by best fit"),
    "eval_packing": Left("evaluation is packed as training is"),
    "padding_free": Read(_padding),
    "shuffle_dataset": Choice("training.sampling", {True: "random", False: "sequential"}),
    "assistant_only_loss": Choice("dataset.preprocessing.supervise", {True: "answers", False: "all"}),
    "completion_only_loss": Choice("dataset.preprocessing.supervise", {True: "answers", False: "all"}),
    "chat_template_path": Left("a file of this machine: write it into model.tokenizer.chatTemplate"),
    "eos_token": Left("the tokenizer's own is used"),
    "pad_token": Left("the tokenizer's own is used"),
    "beta": To("training.dpo.beta"),
    "ignore_bias_buffers": Left("only needed by other launchers"),
    "activation_checkpointing": arguments.CHECKPOINTING,
}
