"""The vocabulary of transformers' TrainingArguments, which the other programs share: names and keys."""

from typing import Any

from finetune_cli.foreign import deepspeed_file, schedules
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
    steps_or_ratio,
    strategy,
    switch,
    trackers,
    unless,
)

OPTIMIZERS = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamwFused",
    "adamw_torch_4bit": "adamwTorch4bit",
    "adamw_torch_xla": "adamwTorchXla",
    "adamw_torch_npu_fused": "adamwTorchNpuFused",
    "adamw_anyprecision": "adamwAnyprecision",
    "adamw_8bit": "adamw8bit",
    "adamw_bnb_8bit": "adamw8bit",
    "adamw_torch_8bit": "adamw8bit",
    "paged_adamw_8bit": "pagedAdamw8bit",
    "paged_adamw_32bit": "pagedAdamw",
    "paged_adamw": "pagedAdamw",
    "adamw": "adamw",
    "adafactor": "adafactor",
    "ademamix": "ademamix",
    "ademamix_8bit": "ademamix8bit",
    "paged_ademamix_32bit": "pagedAdemamix",
    "paged_ademamix_8bit": "pagedAdemamix8bit",
    "lion_32bit": "lion",
    "lion": "lion",
    "lion_8bit": "lion8bit",
    "paged_lion_32bit": "pagedLion",
    "paged_lion_8bit": "pagedLion8bit",
    "sgd": "sgd",
    "adagrad": "adagrad",
    "rmsprop": "rmsprop",
    "rmsprop_bnb": "rmspropBnb",
    "rmsprop_bnb_32bit": "rmspropBnb",
    "rmsprop_bnb_8bit": "rmsprop8bit",
    "galore_adamw": "galoreAdamw",
    "galore_adamw_8bit": "galoreAdamw8bit",
    "galore_adafactor": "galoreAdafactor",
    "galore_adamw_layerwise": "galoreAdamwLayerwise",
    "galore_adamw_8bit_layerwise": "galoreAdamw8bitLayerwise",
    "galore_adafactor_layerwise": "galoreAdafactorLayerwise",
    "apollo_adamw": "apolloAdamw",
    "apollo_adamw_layerwise": "apolloAdamwLayerwise",
    "lomo": "lomo",
    "adalomo": "adalomo",
    "grokadamw": "grokadamw",
    "stable_adamw": "stableAdamw",
    "schedule_free_adamw": "scheduleFreeAdamw",
    "schedule_free_radam": "scheduleFreeRadam",
    "schedule_free_sgd": "scheduleFreeSgd",
}
"""transformers' names of optimizers, all of them, and a few that other tools add."""

OPTIMIZER_NOTES = {"adamw_torch_8bit": "bitsandbytes' 8 bit, not torchao's"}

SCHEDULES = {
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
    "cosine_warmup_with_min_lr": "cosine",
    "linear": "linear",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "polynomial": "polynomial",
    "cosine_with_restarts": "cosineWithRestarts",
    "inverse_sqrt": "inverseSqrt",
    "warmup_stable_decay": "warmupStableDecay",
    "reduce_lr_on_plateau": "reduceOnPlateau",
    "greedy": "greedy",
}
"""transformers' names of schedules, all of them."""

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "auto": "auto"}
BIAS = {"none": "none", "all": "all", "lora_only": "loraOnly"}
QUANTIZATION_BITS = {4: "nf4", 8: "int8"}
COMPILE_MODES = {"default": "default", "reduce-overhead": "reduceOverhead", "max-autotune": "maxAutotune"}
PRECISIONS = {"bf16": "bf16", "fp16": "fp16", "no": "fp32"}
CHECKPOINTING = switch("training.gradientCheckpointing", "full", "none")

DEFAULTS = {
    "learning_rate": 5e-5,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.0,
    "weight_decay": 0.0,
}
"""What TrainingArguments do where nothing is said, and a job does something else (transformers 5.23)."""


def _bf16(value: Any) -> Result:
    """Read whether it is bf16; where it is neither that nor fp16, it is fp32, which `auto` would not be."""
    if value is False:
        return Mapped({"training.precision": "fp32"}, weak=True)
    return flag({"training.precision": "bf16"}).read(value)


def _do_eval(value: Any) -> Result:
    reason = "a job evaluates where it has evaluation data"
    return Mapped({}, reason) if value else NotMapped(reason)


TRAINER: Table = {
    "per_device_train_batch_size": To("training.microBatchSize"),
    "per_device_eval_batch_size": To("evaluation.microBatchSize"),
    "gradient_accumulation_steps": To("training.gradientAccumulationSteps"),
    "learning_rate": To("training.learningRate"),
    "num_train_epochs": To("training.epochs"),
    "max_steps": unless(-1, "training.maxSteps", "that epochs decide"),
    "lr_scheduler_type": Choice("training.schedule.type", SCHEDULES),
    "warmup_ratio": To("training.schedule.warmupRatio"),
    "warmup_steps": Read(steps_or_ratio),
    "optim": Choice("training.optimizer", OPTIMIZERS, notes=OPTIMIZER_NOTES),
    "weight_decay": To("training.weightDecay"),
    "adam_beta1": To("training.adamBeta1"),
    "adam_beta2": To("training.adamBeta2"),
    "adam_epsilon": To("training.adamEpsilon"),
    "max_grad_norm": To("training.maxGradNorm"),
    "label_smoothing_factor": To("training.labelSmoothing"),
    "neftune_noise_alpha": To("training.neftuneNoiseAlpha"),
    "gradient_checkpointing": CHECKPOINTING,
    "bf16": Read(_bf16),
    "fp16": flag({"training.precision": "fp16"}),
    "tf32": flag({"training.precision": "tf32"}, weak=True),
    "torch_compile": flag({"training.compile": "default"}, weak=True),
    "torch_compile_mode": Choice("training.compile", COMPILE_MODES),
    "use_liger_kernel": switch("model.kernels", "liger", "none"),
    "group_by_length": switch("training.sampling", "groupByLength", "random"),
    "train_sampling_strategy": Choice(
        "training.sampling",
        {"random": "random", "sequential": "sequential", "group_by_length": "groupByLength"},
    ),
    "length_column_name": To("dataset.columns.length"),
    "dataloader_num_workers": To("training.dataLoader.workers"),
    "dataloader_pin_memory": To("training.dataLoader.pinMemory"),
    "dataloader_prefetch_factor": To("training.dataLoader.prefetchFactor"),
    "seed": To("training.seed"),
    "data_seed": To("training.dataSeed"),
    "logging_steps": To("training.loggingSteps"),
    "logging_first_step": To("training.loggingFirstStep"),
    "eval_steps": To("evaluation.everySteps"),
    "eval_strategy": strategy("evaluation.everySteps", "evaluation.atEpochEnd"),
    "evaluation_strategy": strategy("evaluation.everySteps", "evaluation.atEpochEnd"),
    "eval_accumulation_steps": To("evaluation.accumulationSteps"),
    "save_steps": To("checkpoints.everySteps"),
    "save_strategy": strategy("checkpoints.everySteps", "checkpoints.atEpochEnd"),
    "save_total_limit": To("checkpoints.keep"),
    "load_best_model_at_end": switch("output.checkpoint", "best", "last"),
    "metric_for_best_model": Read(
        lambda value: Mapped({"checkpoints.metric": str(value).removeprefix("eval_")})
    ),
    "greater_is_better": To("checkpoints.greaterIsBetter"),
    "report_to": Read(trackers),
    "run_name": To("tracking.runName"),
    "hub_model_id": To("output.hub.id"),
    "hub_strategy": Choice(
        "output.hub.strategy",
        {"end": "end", "every_save": "everySave", "checkpoint": "checkpoint", "all_checkpoints": "everySave"},
    ),
    "hub_private_repo": To("output.hub.private"),
    "hub_revision": To("output.hub.revision"),
    "push_to_hub": Read(lambda _: Mapped({}, "a job pushes where output.hub is set, with its tokenSecret")),
    "hub_token": Left(
        "secrets do not stand in manifests: make a Secret, and name it in output.hub.tokenSecret"
    ),
    "ddp_timeout": Read(lambda value: Mapped({"distributed.timeoutSeconds": min(int(value), 86400)})),
    "resume_from_checkpoint": Left("a job resumes by itself from its newest whole checkpoint"),
    "output_dir": Read(lambda _: Mapped({}, "a job writes to its own directory on checkpoints.storage")),
    "overwrite_output_dir": Left("a job never overwrites another run's directory"),
    "logging_dir": Left("metrics lie beside the checkpoints"),
    "do_train": Read(
        lambda value: Mapped({}, "as a job does") if value else NotMapped("a job always trains")
    ),
    "do_eval": Read(_do_eval),
    "remove_unused_columns": Left("the data's format says which columns are read", may_be_off=True),
    "deepspeed": deepspeed_file.rule(),
    "logging_strategy": Left("training.loggingSteps says it"),
    "include_num_input_tokens_seen": Left("tokens are always counted"),
    "project": To("tracking.project"),
    "ddp_backend": Choice("distributed.backend", {"nccl": "nccl", "gloo": "gloo"}),
    **schedules.TABLE,
    "lr_scheduler_kwargs.mode": Left("checkpoints.greaterIsBetter says it"),
    **left(
        "its default is used",
        "lr_scheduler_kwargs",
        "optim_args",
        "optim_target_modules",
        "activation_checkpointing_kwargs",
        "gradient_checkpointing_kwargs",
        "torch_compile_backend",
        "liger_kernel_config",
        "accelerator_config",
    ),
    **left(
        "the trainer sees to it",
        "average_tokens_across_devices",
        "use_cache",
        "torch_empty_cache_steps",
        "logging_nan_inf_filter",
        "save_only_model",
        "save_on_each_node",
        "enable_jit_checkpoint",
        "ignore_data_skip",
        "restore_callback_states_from_checkpoint",
        "label_names",
        "local_rank",
    ),
    **left(
        "evaluation computes as training does, and its loss",
        "bf16_full_eval",
        "fp16_full_eval",
        "prediction_loss_only",
        "eval_do_concat_batches",
        "eval_use_gather_object",
        "include_for_metrics",
        "batch_eval_metrics",
    ),
    **left(
        "see evaluation.everySteps and atEnd",
        "eval_delay",
        "eval_on_start",
        "do_predict",
    ),
    **left(
        "memory is estimated beforehand: finetune estimate",
        "auto_find_batch_size",
        "skip_memory_metrics",
    ),
    **left(
        "a job logs in one way",
        "log_on_each_node",
        "log_level",
        "log_level_replica",
        "disable_tqdm",
        "debug",
    ),
    **left(
        "see tracking.trackers",
        "trackio_space_id",
        "trackio_bucket_id",
        "trackio_static_space_id",
    ),
    **left(
        "a job pushes at the end, or at every save",
        "hub_always_push",
    ),
    **left(
        "the seed is enough for the same run on the same machine",
        "full_determinism",
    ),
    **left(
        "resources.accelerators says it",
        "use_cpu",
    ),
    **left(
        "every record is trained on, in a fixed order",
        "dataloader_drop_last",
        "dataloader_in_order",
    ),
    **left(
        "its default is used",
        "dataloader_persistent_workers",
        "dataloader_multiprocessing_context",
    ),
    **left(
        "the ranks share by DeepSpeed or DDP, which the trainer sets up",
        "ddp_find_unused_parameters",
        "ddp_bucket_cap_mb",
        "ddp_broadcast_buffers",
        "ddp_static_graph",
        "parallelism_config",
        "fsdp",
        "fsdp_config",
    ),
}
"""Keys of transformers' TrainingArguments, which LLaMA-Factory, TRL and LlamaFarm share."""
