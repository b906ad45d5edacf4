"""Axolotl's YAML.

Keys, values and defaults as of axolotl 0.19.0 (axolotl.utils.schemas), and names of earlier versions.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign import arguments, axolotl_datasets, rules
from finetune_cli.foreign.axolotl_unmapped import UNMAPPED
from finetune_cli.foreign.rules import Choice, Left, Mapped, NotMapped, Read, Result, Table, To, flag

NAME: Final = "axolotl"

_SHARED: Final = (
    "gradient_accumulation_steps", "learning_rate", "max_steps", "warmup_ratio", "warmup_steps",
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "neftune_noise_alpha",
    "gradient_checkpointing", "bf16", "fp16", "tf32", "torch_compile", "seed", "logging_steps", "eval_steps",
    "eval_strategy", "save_steps", "save_strategy", "save_total_limit", "load_best_model_at_end",
    "metric_for_best_model", "greater_is_better", "hub_model_id", "hub_strategy", "group_by_length",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor", "output_dir",
    "resume_from_checkpoint", "ddp_timeout", "remove_unused_columns", "deepspeed",
)  # fmt: skip
"""Keys that Axolotl hands to transformers as they are."""


_ATTENTION: Final = {
    **{name: name for name in ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")},
    "flash": "flash_attention_2",
    "sdp": "sdpa",
    "flex": "flex_attention",
}
_LIGER: Final = ("rms_norm", "rope", "glu_activation", "fused_linear_cross_entropy")
_TRACKERS: Final = ("wandb", "tensorboard", "mlflow", "comet", "trackio")


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


def _stage(value: Any) -> Result:
    if value in ("dpo", "kto", "grpo"):
        return Mapped({"training.stage": value})
    if value in ("ipo", "orpo", "simpo"):
        return Mapped({"training.stage": "dpo", "training.dpo.lossType": value})
    return NotMapped(f"there is no stage {value!r}")


def _bf16(value: Any) -> Result:
    """Read the arithmetic; `tf32` beside it is then for what is computed in fp32 all the same."""
    if value == "auto":
        return Mapped({"training.precision": "auto"})
    return arguments.TRAINER["bf16"].read(value)


def _project(value: Any) -> Result:
    return Mapped({"tracking.project": value, "tracking.trackers": [{"type": "wandb"}]})


def _target(value: Any) -> Result:
    """Read names of modules, which `lora_target_linear` outdoes; one text is a regular expression there."""
    if isinstance(value, str) and value != "all-linear":
        return Mapped({"method.lora.targetPattern": value})
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        return NotMapped(f"{value!r} is no list")
    return Mapped({"method.lora.targetModules": names}, weak=True)


def _plugins(value: Any) -> Result:
    others = [name for name in value if "liger" not in name]
    if others:
        return NotMapped(f"the trainer loads no plugins: {', '.join(others)}")
    return Mapped({}, "the kernels below say which")


def _loss(value: Any) -> Result:
    names = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo", "robust": "robust", "bco_pair": "bcoPair"}
    if isinstance(value, list) and len(value) == 1 and value[0] in names:
        return Mapped({"training.dpo.lossType": names[value[0]]})
    return NotMapped("training.dpo.lossType is one of ours")


def _pattern(value: Any) -> Result:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return Mapped({"method.lora.layersPattern": value})
    return NotMapped("method.lora.layersPattern is one name")


def _initialization(value: Any) -> Result:
    names = {True: "default", "gaussian": "gaussian", "pissa": "pissa", "olora": "olora", "loftq": "loftq"}
    more = {"eva": "eva", "orthogonal": "orthogonal"}
    if isinstance(value, str) and (counted := re.fullmatch(r"pissa_niter_(\d+)", value)):
        iterations = {"method.lora.pissaIterations": int(counted[1])}
        return Mapped({"method.lora.initialization": "pissa", **iterations})
    if value in names | more:
        return Mapped({"method.lora.initialization": (names | more)[value]})
    return NotMapped(f"there is no initialization {value!r}")


def _per_epoch(section: str) -> Read:
    """Return the rule of a number of times in an epoch, of which a job knows one: its end."""

    def read(value: Any) -> Result:
        if value == 1:
            return Mapped({f"{section}.atEpochEnd": True, f"{section}.everySteps": 0})
        return NotMapped(f"steps per epoch are not known here: set {section}.everySteps or atEpochEnd")

    return Read(read)


def defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Axolotl does where the document is silent, where a job would do something else."""
    absent: dict[str, Any] = {
        "gradient_accumulation_steps": 1,
        "num_epochs": 1.0,
        "weight_decay": 0.0,
        "sequence_len": 512,
        "excess_length_strategy": "drop",
    }
    if document.get("adapter"):
        return {**absent, "lora_dropout": 0.0}
    return {**absent, "adapter": "full"}


TABLE: Final[Table] = {
    **{key: arguments.TRAINER[key] for key in _SHARED},
    **{key: rule for key, rule in arguments.TRAINER.items() if key.startswith("lr_scheduler_kwargs.")},
    **UNMAPPED,
    **axolotl_datasets.TABLE,
    "base_model": Read(rules.model),
    "bf16": Read(_bf16),
    "revision_of_model": To("model.revision"),
    "model_revision": To("model.revision"),
    "tokenizer_config": To("model.tokenizer.id"),
    "trust_remote_code": To("model.trustRemoteCode"),
    "adapter": Read(_adapter),
    "load_in_8bit": flag({"quantization.type": "int8"}, weak=True),
    "load_in_4bit": flag({"quantization.type": "nf4"}, weak=True),
    "bnb_config_kwargs.bnb_4bit_quant_type": Choice("quantization.type", {"nf4": "nf4", "fp4": "fp4"}),
    "bnb_config_kwargs.bnb_4bit_use_double_quant": To("quantization.doubleQuantization"),
    "lora_r": To("method.lora.rank"),
    "lora_alpha": To("method.lora.alpha"),
    "lora_dropout": To("method.lora.dropout"),
    "lora_target_modules": Read(_target),
    "lora_target_linear": flag({"method.lora.targetModules": ["all-linear"]}),
    "lora_modules_to_save": rules.listed("method.lora.modulesToSave"),
    "peft_layers_to_transform": rules.listed("method.lora.layersToTransform"),
    "peft_layers_pattern": Read(_pattern),
    "peft_init_lora_weights": Read(_initialization),
    "peft_use_rslora": To("method.lora.rankStabilized"),
    "peft_use_dora": flag({"method.type": "dora"}),
    "loraplus_lr_ratio": To("method.lora.learningRateRatio"),
    "loraplus_lr_embedding": To("method.lora.embeddingLearningRate"),
    "val_set_size": Read(
        lambda value: (
            Mapped({"dataset.evalSplit": value})
            if value < 1
            else NotMapped("a number of records: dataset.evalSplit is a share")
        )
    ),
    "chat_template": Read(axolotl_datasets.chat_template),
    "chat_template_jinja": To("model.tokenizer.chatTemplate"),
    "default_system_message": To("dataset.preprocessing.systemPrompt"),
    "dataset_num_proc": To("dataset.preprocessing.workers"),
    "dataset_processes": To("dataset.preprocessing.workers"),
    "excess_length_strategy": Choice(
        "dataset.preprocessing.overlong", {"truncate": "truncate", "drop": "drop", "raise": "fail"}
    ),
    "bfloat16": flag({"training.precision": "bf16", "model.loadPrecision": "bf16"}),
    "float16": flag({"training.precision": "fp16", "model.loadPrecision": "fp16"}),
    "float32": flag({"training.precision": "fp32", "model.loadPrecision": "fp32"}),
    "kto_desirable_weight": To("training.kto.desirableWeight"),
    "kto_undesirable_weight": To("training.kto.undesirableWeight"),
    "dpo_label_smoothing": To("training.dpo.labelSmoothing"),
    "dpo_loss_type": Read(_loss),
    "center_rewards_coefficient": To("training.rewardModel.centerRewardsCoefficient"),
    "reward_model": flag({"training.stage": "rm"}),
    "torch_compile_mode": arguments.TRAINER["torch_compile_mode"],
    "hub_revision": arguments.TRAINER["hub_revision"],
    "evaluation_strategy": arguments.TRAINER["evaluation_strategy"],
    "noisy_embedding_alpha": To("training.neftuneNoiseAlpha"),
    "curriculum_sampling": flag({"training.sampling": "sequential"}),
    "streaming": To("dataset.streaming"),
    "train_on_inputs": Choice("dataset.preprocessing.supervise", {True: "all", False: "answers"}),
    "sequence_len": To("training.maxSequenceLength"),
    "sample_packing": To("dataset.packing"),
    "micro_batch_size": To("training.microBatchSize"),
    "eval_batch_size": To("evaluation.microBatchSize"),
    "num_epochs": To("training.epochs"),
    "optimizer": Choice("training.optimizer", arguments.OPTIMIZERS, notes=arguments.OPTIMIZER_NOTES),
    "lr_scheduler": Choice("training.schedule.type", arguments.SCHEDULES),
    "cosine_min_lr_ratio": To("training.schedule.minLearningRateRatio"),
    "attn_implementation": Choice("model.attention", _ATTENTION),
    "flash_attention": flag({"model.attention": "flash_attention_2"}),
    "sdp_attention": flag({"model.attention": "sdpa"}),
    "flex_attention": flag({"model.attention": "flex_attention"}),
    "eager_attention": flag({"model.attention": "eager"}),
    **{f"liger_{kernel}": flag({"model.kernels": "liger"}) for kernel in _LIGER},
    "plugins": Read(_plugins),
    "rl": Read(_stage),
    "rl_beta": To("training.dpo.beta"),
    "trl.beta": To("training.grpo.klCoefficient"),
    "trl.num_generations": To("training.grpo.groupSize"),
    "trl.epsilon": To("training.grpo.clipRange"),
    "trl.num_iterations": To("training.grpo.updatesPerBatch"),
    "trl.reward_weights": To("training.grpo.rewardWeights"),
    "trl.max_completion_length": To("training.grpo.sampling.maxNewTokens"),
    "trl.temperature": To("training.grpo.sampling.temperature"),
    "trl.top_p": To("training.grpo.sampling.topP"),
    "trl.reward_funcs": Left(
        "functions of one's own are not run: name ours in training.grpo.rewardFunctions"
    ),
    "evals_per_epoch": _per_epoch("evaluation"),
    "saves_per_epoch": _per_epoch("checkpoints"),
    "early_stopping_patience": To("training.earlyStopping.patience"),
    **{f"use_{name}": flag({"tracking.trackers": [{"type": name}]}, weak=True) for name in _TRACKERS},
    "wandb_project": Read(_project),
    **dict.fromkeys(("wandb_name", "mlflow_run_name", "trackio_run_name"), To("tracking.runName")),
    **dict.fromkeys(("mlflow_experiment_name", "comet_project_name"), To("tracking.project")),
    "trackio_project_name": To("tracking.project"),
    "wandb_entity": Left("goes into tracking.trackers[].workspace"),
    "comet_workspace": Left("goes into tracking.trackers[].workspace"),
    "mlflow_tracking_uri": Left("goes into tracking.trackers[].url"),
}

LOST: Final = {
    "model.config": "it starts from weights: save a model of this shape, and name its directory",
    "model.tokenizer.train": "it has no training of tokenizers",
    "dataset.train": "it reads files, and data sets of the hub",
    "dataset.eval": "it reads files, and data sets of the hub",
    "quantization.computeType": "Axolotl computes in its training precision",
}
