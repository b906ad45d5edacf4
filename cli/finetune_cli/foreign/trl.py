"""TRL's command line, `trl sft --model_name_or_path … --use_peft`, and the YAML of its `--config`.

Options and defaults as of TRL 1.16; a test compares them with the installed package.
"""

from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import arguments, rules
from finetune_cli.foreign.rules import (
    Choice,
    Left,
    Mapped,
    NotMapped,
    Read,
    Result,
    Table,
    To,
    flag,
    left,
    switch,
)

NAME: Final = "trl"


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is the file of a command's `--config`."""
    return "model_name_or_path" in document and bool({"dataset_name", "use_peft"} & set(document))


STAGES: Final = {"sft": "sft", "dpo": "dpo", "kto": "kto", "grpo": "grpo", "reward": "rm"}


def parse(words: list[str]) -> dict[str, Any]:
    """Return the options of a command as a document; `trl sft` becomes `command: sft`.

    Options are `--key value`, `--key=value`, `--flag`, `--no_flag`, and `--key a b c` for lists. Raises
    `ValueError`.
    """
    from finetune_cli.yaml_reader import YamlError, parse_scalar

    words = words[1:] if words[:1] == ["trl"] else words
    document: dict[str, Any] = {}
    key = ""
    for word in words:
        if word.startswith("--"):
            key, equals, value = _split(word)
            if not equals and (positive := key.removeprefix("no_")) != key and positive in TABLE:
                document[positive], key = False, positive
            else:
                document[key] = parse_scalar(value) if equals else True
            continue
        if not key:
            if "command" in document or word.startswith("-"):
                raise ValueError(f"{word}: options begin with --")
            if word not in STAGES:
                raise ValueError(f"{word!r} is neither a file nor one of {', '.join(STAGES)}")
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
    if not document:
        raise ValueError(f"there is nothing in it; write one of {', '.join(STAGES)}, and its options")
    return document


def _split(word: str) -> tuple[str, str, str]:
    key, equals, value = word[2:].partition("=")
    return key.replace("-", "_"), equals, value


def _target(value: Any) -> Result:
    return rules.listed("method.lora.targetModules").read([value] if isinstance(value, str) else value)


def _dataset(value: Any) -> Result:
    result = rules.data("dataset.train").read(value)
    if isinstance(result, NotMapped):
        return result
    form = "TRL tells its form by the columns: set dataset.format"
    return Mapped(result.values, f"{result.note}; {form}" if result.note else form)


def _padding(value: Any) -> Result:
    return (
        Mapped({}, "nothing is padded")
        if value
        else NotMapped("batches are padded where they are not packed")
    )


def _loss(value: Any) -> Result:
    """Read a loss of preferences by TRL's name; those of other stages are the default."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    names = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo", "robust": "robust", "bco_pair": "bcoPair"}
    if value in names:
        return Mapped({"training.dpo.lossType": names[value]})
    return (
        Mapped({}, "the stage's own") if value in ("nll", "kto") else NotMapped(f"there is no loss {value!r}")
    )


def _command(value: Any) -> Result:
    if value in STAGES:
        return Mapped({"training.stage": STAGES[value]})
    return NotMapped(f"there is no stage {value!r}")


LEARNING_RATES: Final = {"sft": 2e-5, "dpo": 1e-6, "kto": 1e-6, "grpo": 1e-6, "reward": 1e-4}


def defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what TRL does where the command is silent, where a job would do something else."""
    rate = LEARNING_RATES.get(str(document.get("command", "sft")), 2e-5)
    return {
        **arguments.DEFAULTS,
        "command": "sft",
        "learning_rate": rate,
        "max_length": 1024,
        "gradient_checkpointing": True,
        "use_peft": False,
        "bf16": True,
    }


TABLE: Final[Table] = {
    **arguments.TRAINER,
    "command": Read(_command),
    "config": Left("the file is not here: import it where it is, or name its options"),
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
    "dataset_name": Read(_dataset),
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
    "loss_type": Read(_loss),
    "label_smoothing": To("training.dpo.labelSmoothing"),
    "desirable_weight": To("training.kto.desirableWeight"),
    "undesirable_weight": To("training.kto.undesirableWeight"),
    "center_rewards_coefficient": To("training.rewardModel.centerRewardsCoefficient"),
    "num_generations": To("training.grpo.groupSize"),
    "max_completion_length": To("training.grpo.sampling.maxNewTokens"),
    "temperature": To("training.grpo.sampling.temperature"),
    "top_p": To("training.grpo.sampling.topP"),
    "num_iterations": To("training.grpo.updatesPerBatch"),
    "epsilon": To("training.grpo.clipRange"),
    "reward_weights": To("training.grpo.rewardWeights"),
    "ignore_bias_buffers": Left("only needed by other launchers"),
    **left(
        "the model's own configuration is used",
        "model_init_kwargs",
        "router_aux_loss_coef",
        "chat_template_kwargs",
        "cast_lm_head_to_fp32",
    ),
    **left(
        "overlong records: see dataset.preprocessing.overlong",
        "truncation_mode",
    ),
    **left(
        "its default is used",
        "dataset_kwargs",
        "pad_to_multiple_of",
        "activation_offloading",
        "disable_dropout",
        "generation_kwargs",
        "cache_implementation",
    ),
    **left(
        "the reference model is the base, unless training.dpo.referenceModel says otherwise",
        "precompute_ref_log_probs",
        "precompute_ref_batch_size",
        "sync_ref_model",
        "ref_model_mixup_alpha",
        "ref_model_sync_steps",
    ),
    **left(
        "an option of the loss that is not here",
        "loss_weights",
        "ld_alpha",
        "f_divergence_type",
        "f_alpha_divergence_coef",
        "use_weighting",
        "discopop_tau",
        "delta",
        "epsilon_high",
        "sapo_temperature_neg",
        "sapo_temperature_pos",
        "vespo_k_pos",
        "vespo_lambda_pos",
        "vespo_k_neg",
        "vespo_lambda_neg",
        "importance_sampling_level",
        "multi_objective_aggregation",
        "scale_rewards",
        "mask_truncated_completions",
        "top_entropy_quantile",
        "entropy_coef",
        "use_adaptive_entropy",
        "entropy_coef_min",
        "entropy_coef_max",
        "entropy_coef_delta",
        "entropy_target",
        "off_policy_mask_threshold",
        "use_bias_correction_kl",
    ),
    **left(
        "answers are drawn by the trainer itself",
        "use_vllm",
        "vllm_mode",
        "vllm_model_impl",
        "vllm_enable_sleep_mode",
        "vllm_structured_outputs_regex",
        "vllm_server_base_url",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_server_timeout",
        "vllm_group_port",
        "vllm_gpu_memory_utilization",
        "vllm_max_model_length",
        "vllm_tensor_parallel_size",
        "vllm_importance_sampling_correction",
        "vllm_importance_sampling_mode",
        "vllm_importance_sampling_clip_max",
        "vllm_importance_sampling_clip_min",
        "vllm_importance_sampling_cap",
        "use_transformers_continuous_batching",
        "transformers_continuous_batching_config",
        "use_transformers_paged",
        "ds3_gather_for_generation",
        "max_tool_calling_iterations",
    ),
    **left(
        "see training.grpo.sampling",
        "top_k",
        "min_p",
        "repetition_penalty",
        "num_generations_eval",
        "generation_batch_size",
        "steps_per_generation",
    ),
    **left(
        "see evaluation.generations",
        "log_completions",
        "log_multimodal",
        "num_completions_to_print",
        "log_unique_prompts",
        "log_completions_hub_repo",
    ),
    "activation_checkpointing": arguments.CHECKPOINTING,
}
