"""Axolotl's YAML.

Keys, values and defaults as of the project's commits 00564c8f, 04980d49 and 002a637c
(src/axolotl/utils/schemas).
"""

from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import arguments, rules, templates
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To, flag, left

NAME: Final = "axolotl"

_SHARED: Final = (
    "gradient_accumulation_steps", "learning_rate", "max_steps", "warmup_ratio", "warmup_steps",
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "neftune_noise_alpha",
    "gradient_checkpointing", "bf16", "fp16", "tf32", "torch_compile", "seed", "logging_steps", "eval_steps",
    "eval_strategy", "save_steps", "save_strategy", "save_total_limit", "load_best_model_at_end",
    "metric_for_best_model", "greater_is_better", "hub_model_id", "hub_strategy", "group_by_length",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor", "output_dir",
    "resume_from_checkpoint", "deepspeed", "ddp_timeout", "remove_unused_columns",
)  # fmt: skip
"""Keys that Axolotl hands to transformers as they are."""


def recognises(document: dict[str, Any]) -> bool:
    """Whether a document is one of these."""
    return "base_model" in document


def _adapter(value: Any) -> Result:
    # Without an adapter Axolotl trains every weight; it has no name for that.
    names = {"lora": "lora", "qlora": "qlora", "full": "full"}
    return (
        Mapped({"method.type": names[value]})
        if value in names
        else NotMapped(f"there is no adapter {value!r}")
    )


def _format(value: Any) -> Result:
    names = {"alpaca": "alpaca", "sharegpt": "sharegpt", "completion": "text", "chat_template": "messages"}
    if value in names:
        return Mapped({"dataset.format": names[value]})
    return NotMapped("no format of ours: use dataset.format custom with dataset.columns")


def _stage(value: Any) -> Result:
    if value in ("dpo", "kto", "grpo"):
        return Mapped({"training.stage": value})
    if value in ("ipo", "orpo", "simpo"):
        return Mapped({"training.stage": "dpo", "training.dpo.lossType": value})
    return NotMapped(f"there is no stage {value!r}")


def _project(value: Any) -> Result:
    return Mapped({"tracking.project": value, "tracking.trackers": [{"type": "wandb"}]})


def _pattern(value: Any) -> Result:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return Mapped({"method.lora.layersPattern": value})
    return NotMapped("method.lora.layersPattern is one name")


def _chat_template(value: Any) -> Result:
    if value in templates.AXOLOTL:
        return Mapped({templates.PATH: templates.AXOLOTL[value]})
    if value in ("tokenizer_default", "jinja"):
        note = "the model's own, as here" if value == "tokenizer_default" else "chat_template_jinja is used"
        return Mapped({}, note)
    return NotMapped(templates.OTHERWISE)


def _initialization(value: Any) -> Result:
    names = {True: "default", "gaussian": "gaussian", "pissa": "pissa", "olora": "olora", "loftq": "loftq"}
    more = {"eva": "eva", "orthogonal": "orthogonal"}
    if value in names | more:
        return Mapped({"method.lora.initialization": (names | more)[value]})
    return NotMapped(f"there is no initialization {value!r}")


def defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Axolotl does where the document is silent, where a job would do something else."""
    absent: dict[str, Any] = {
        "gradient_accumulation_steps": 1,
        "num_epochs": 1.0,
        "weight_decay": 0.0,
        "sequence_len": 512,
    }
    if document.get("adapter"):
        return {**absent, "lora_dropout": 0.0}
    return {**absent, "adapter": "full"}


TABLE: Final[Table] = {
    **{key: arguments.TRAINER[key] for key in _SHARED},
    "base_model": Read(rules.model),
    "revision_of_model": To("model.revision"),
    "model_revision": To("model.revision"),
    "tokenizer_config": To("model.tokenizer.id"),
    "model_type": Left("transformers knows the class from the model's configuration"),
    "tokenizer_type": Left("transformers knows the class from the tokenizer's configuration"),
    "trust_remote_code": To("model.trustRemoteCode"),
    "adapter": Read(_adapter),
    "load_in_8bit": flag({"quantization.type": "int8"}, weak=True),
    "load_in_4bit": flag({"quantization.type": "nf4"}, weak=True),
    "lora_r": To("method.lora.rank"),
    "lora_alpha": To("method.lora.alpha"),
    "lora_dropout": To("method.lora.dropout"),
    "lora_target_modules": rules.listed("method.lora.targetModules"),
    "lora_target_linear": flag({"method.lora.targetModules": ["all-linear"]}),
    "lora_modules_to_save": rules.listed("method.lora.modulesToSave"),
    "peft_layers_to_transform": rules.listed("method.lora.layersToTransform"),
    "peft_layers_pattern": Read(_pattern),
    "peft_init_lora_weights": Read(_initialization),
    "peft_use_rslora": To("method.lora.rankStabilized"),
    "peft_use_dora": flag({"method.type": "dora"}),
    "loraplus_lr_ratio": To("method.lora.learningRateRatio"),
    "loraplus_lr_embedding": To("method.lora.embeddingLearningRate"),
    "lora_model_dir": Left("a job starts its own adapter"),
    "lora_fan_in_fan_out": Left("PEFT knows it from the layer"),
    "unfrozen_parameters": Left("method.freeze names layers, not parameters"),
    "datasets[].path": rules.data("dataset.train"),
    "datasets[].type": Read(_format),
    "datasets[].split": To("dataset.train.hub.split"),
    "datasets[].name": To("dataset.train.hub.config"),
    "datasets[].field_messages": To("dataset.columns.messages"),
    "datasets[].message_property_mappings.role": To("dataset.columns.role"),
    "datasets[].message_property_mappings.content": To("dataset.columns.content"),
    "datasets[].ds_type": Left("the file's ending says it"),
    "test_datasets[].path": rules.data("dataset.eval"),
    "val_set_size": Read(
        lambda value: (
            Mapped({"dataset.evalSplit": value})
            if value < 1
            else NotMapped("a number of records: dataset.evalSplit is a share")
        )
    ),
    "dataset_prepared_path": Left("tokenised data lies beside the checkpoints"),
    "chat_template": Read(_chat_template),
    "chat_template_jinja": To("model.tokenizer.chatTemplate"),
    "default_system_message": To("dataset.preprocessing.systemPrompt"),
    "dataset_processes": To("dataset.preprocessing.workers"),
    "bfloat16": flag({"training.precision": "bf16", "model.loadPrecision": "bf16"}),
    "float16": flag({"training.precision": "fp16", "model.loadPrecision": "fp16"}),
    "eager_attention": flag({"model.attention": "eager"}),
    "kto_desirable_weight": To("training.kto.desirableWeight"),
    "kto_undesirable_weight": To("training.kto.undesirableWeight"),
    "use_tensorboard": flag({"tracking.trackers": [{"type": "tensorboard"}]}),
    "torch_compile_mode": arguments.TRAINER["torch_compile_mode"],
    "hub_revision": arguments.TRAINER["hub_revision"],
    "save_only_model": Left("a checkpoint always holds what resuming needs"),
    "save_safetensors": Left("weights are always written as safetensors"),
    "tokenizer_use_fast": Left("fast tokenizers are used where there are any"),
    "auto_resume_from_checkpoints": Left("a job resumes by itself from its newest whole checkpoint"),
    "hf_use_auth_token": Left("secrets do not stand in manifests: name one in model.tokenSecret"),
    "lr_groups": Left("see training.parameterGroups"),
    "batch_size": Left("training.microBatchSize, gradientAccumulationSteps and the ranks make it"),
    "dataloader_drop_last": Left("every record is trained on"),
    "pretraining_dataset": Left(
        "set training.stage: pretrain and dataset.train; dataset.streaming for a stream"
    ),
    **left("data sets are read whole and shuffled", "shuffle_merged_datasets", "skip_prepare_dataset"),
    **left("data sets are read whole and shuffled", "dataset_exact_deduplication", "curriculum_sampling"),
    **left("the scheduler's and the optimizer's own are used", "lr_scheduler_kwargs", "optim_args"),
    **left("the scheduler's and the optimizer's own are used", "cosine_constant_lr_ratio", "adam_beta3"),
    **left("the scheduler's and the optimizer's own are used", "optim_target_modules", "lr_div_factor"),
    **left("the tokenizer's own vocabulary is used", "tokens", "added_tokens_overrides", "eot_tokens"),
    **left("the tokenizer's own vocabulary is used", "resize_token_embeddings_to_32x", "shrink_embeddings"),
    **left(
        "there is no such method here", "relora", "gptq", "peft_layer_replication", "loftq_config", "peft"
    ),
    **left("there is no such method here", "use_pose", "fp8", "qat", "quantization", "reward_model"),
    **left(
        "see model.kernels", "lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "flash_attn_cross_entropy"
    ),
    **left("see model.kernels", "unsloth_cross_entropy_loss", "unsloth_lora_mlp", "unsloth_lora_qkv"),
    **left("an option of the loss that is not here", "simpo_gamma", "orpo_alpha", "rpo_alpha", "cpo_alpha"),
    **left("see failurePolicy.divergence", "loss_watchdog_threshold", "loss_watchdog_patience"),
    **left(
        "the ranks divide the data, not the sequence", "sequence_parallel_degree", "context_parallel_size"
    ),
    **left("records are packed by best fit", "sample_packing_group_size", "sample_packing_bin_size"),
    **left("records are packed by best fit", "batch_flattening", "multipack_real_batches"),
    **left("adapters are merged by output.mergeAdapter", "merge_lora", "lora_on_cpu"),
    **left("DDP is DeepSpeed's and torch's own", "ddp", "ddp_bucket_cap_mb", "ddp_find_unused_parameters"),
    "train_on_inputs": Choice("dataset.preprocessing.supervise", {True: "all", False: "answers"}),
    "sequence_len": To("training.maxSequenceLength"),
    "sample_packing": To("dataset.packing"),
    "eval_sample_packing": Left("evaluation is packed as training is"),
    "pad_to_sequence_len": Left("batches are padded to their longest sequence"),
    "micro_batch_size": To("training.microBatchSize"),
    "eval_batch_size": To("evaluation.microBatchSize"),
    "num_epochs": To("training.epochs"),
    "optimizer": Choice("training.optimizer", arguments.OPTIMIZERS),
    "lr_scheduler": Choice("training.schedule.type", arguments.SCHEDULES),
    "cosine_min_lr_ratio": To("training.schedule.minLearningRateRatio"),
    "flash_attention": flag({"model.attention": "flash_attention_2"}),
    "sdp_attention": flag({"model.attention": "sdpa"}),
    "flex_attention": flag({"model.attention": "flex_attention"}),
    "attn_implementation": To("model.attention"),
    "xformers_attention": Left("transformers has no xformers attention; sdpa takes its place"),
    "liger_rope": Left("model.kernels: liger takes all of Liger's kernels"),
    "liger_rms_norm": flag({"model.kernels": "liger"}),
    "liger_glu_activation": Left("model.kernels: liger takes all of Liger's kernels"),
    "liger_fused_linear_cross_entropy": Left("model.kernels: liger takes all of Liger's kernels"),
    "plugins": Left("the trainer loads no plugins; model.kernels stands for Liger's"),
    "rl": Read(_stage),
    "rl_beta": To("training.dpo.beta"),
    "early_stopping_patience": To("training.earlyStopping.patience"),
    "evals_per_epoch": Left("steps per epoch are not known here: set evaluation.everySteps or atEpochEnd"),
    "saves_per_epoch": Left("steps per epoch are not known here: set checkpoints.everySteps or atEpochEnd"),
    "wandb_project": Read(_project),
    "wandb_name": To("tracking.runName"),
    "wandb_entity": Left("goes into tracking.trackers[].workspace"),
    "wandb_watch": Left("gradients are not sent to trackers"),
    "wandb_log_model": Left("see tracking.trackers[].logArtifacts"),
    "mlflow_tracking_uri": Left("goes into tracking.trackers[].url"),
    "special_tokens": Left("the tokenizer's own are used"),
    "fsdp": Left("the ranks share by ZeRO: see distributed.zeroStage"),
    "fsdp_config": Left("the ranks share by ZeRO: see distributed.zeroStage"),
    "strict": Left("unknown fields are always refused"),
    "local_rank": Left("the launcher numbers the ranks"),
    "debug": Left("nothing to debug in a job"),
}

LOST: Final = {
    "quantization.computeType": "Axolotl computes in its training precision",
}
