"""LlamaFarm's PyTorch tuner: how long and how it trains, evaluates, saves and logs, on which device."""

from typing import Final

from finetune_api.parameter_map.row import REQUIRED, Elsewhere, Parameter, Row, Values

TYPES: Final[Values] = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}
AUTO_PRECISION: Final = "auto is bf16 where the device has it, fp16 on older ones, fp32 on CPU"
_RATE_NAMES: Final[Values] = {"linear": "linear", "cosine": "cosine", "polynomial": "polynomial"}
_FITS_MOST = "1 × 16 is the document's effective batch of 4 × 4, and fits the most devices"
_AUTO_CHECKPOINTING = "auto checkpoints where memory is short: elsewhere it only costs time"
_ONE_OPTIMIZER = "the document has optimizer and optim: here there is one field"
_OPTIMIZERS: Final[Values] = {
    "adamw_torch": "adamw",
    "adamw_8bit": "adamw8bit",
    "paged_adamw_8bit": "pagedAdamw8bit",
}

_TRAINING = (
    Parameter("training.batch_size", "training.microBatchSize", 4, 1, _FITS_MOST),
    Parameter(
        "training.gradient_accumulation_steps", "training.gradientAccumulationSteps", 4, 16, _FITS_MOST
    ),
    Parameter(
        "training.gradient_checkpointing",
        "training.gradientCheckpointing",
        True,
        "auto",
        _AUTO_CHECKPOINTING,
        {True: "full", False: "none"},
    ),
    Parameter("training.learning_rate", "training.learningRate", 2e-4, 2e-4),
    Parameter("training.lr_scheduler_type", "training.schedule.type", "cosine", "cosine", values=_RATE_NAMES),
    Parameter(
        "training.warmup_ratio", "training.schedule.warmupRatio", 0.1, 0.03, "the value of the YAML framework"
    ),
    Parameter(
        "training.warmup_steps",
        "training.schedule.warmupSteps",
        0,
        None,
        "absent: the ratio; 0 in the document means the same, here it means no warm-up",
    ),
    Parameter("training.num_epochs", "training.epochs", 3, 3.0),
    Parameter("training.max_steps", "training.maxSteps", -1, None, "absent instead of -1"),
    Parameter(
        "training.optimizer", "training.optimizer", "adamw_torch", "adamw", _ONE_OPTIMIZER, _OPTIMIZERS
    ),
    Parameter("training.adam_beta1", "training.adamBeta1", 0.9, 0.9),
    Parameter("training.adam_beta2", "training.adamBeta2", 0.999, 0.999),
    Parameter("training.adam_epsilon", "training.adamEpsilon", 1e-8, 1e-8),
    Parameter("training.weight_decay", "training.weightDecay", 0.01, 0.01),
    Parameter("training.max_grad_norm", "training.maxGradNorm", 1.0, 1.0),
    Parameter("training.fp16", "training.precision", True, "auto", AUTO_PRECISION, {True: "fp16"}),
    Parameter("training.bf16", "training.precision", False, "auto", AUTO_PRECISION, {True: "bf16"}),
    Parameter(
        "training.tf32",
        "training.precision",
        True,
        "auto",
        "a precision of its own here: bf16 and fp16 leave nothing for it to do",
        {True: "tf32"},
    ),
    Parameter(
        "training.use_flash_attention",
        "model.attention",
        True,
        "auto",
        "auto takes what the device and the image have",
        {True: "flash_attention_2", False: "sdpa"},
    ),
    Parameter(
        "training.dataloader_num_workers",
        "training.dataLoader.workers",
        4,
        0,
        "records are tokenised before the training, so that loading is cheap",
    ),
    Parameter("training.dataloader_pin_memory", "training.dataLoader.pinMemory", True, True),
    Parameter("training.optim", "training.optimizer", "adamw_8bit", "adamw", _ONE_OPTIMIZER, _OPTIMIZERS),
    Parameter(
        "training.group_by_length",
        "training.sampling",
        True,
        "random",
        "groups of one length make gradients less random; packing wastes no padding either",
        {True: "groupByLength", False: "random"},
    ),
    Parameter(
        "training.length_column_name",
        "dataset.columns.length",
        "length",
        None,
        "absent: the trainer counts the tokens itself",
    ),
    Parameter("training.seed", "training.seed", 42, 42),
    Parameter("training.data_seed", "training.dataSeed", None, None),
)

_EVALUATION = (
    Parameter(
        "training.eval_strategy",
        "evaluation.atEpochEnd",
        "steps",
        False,
        "steps is everySteps over 0, epoch is atEpochEnd, no is neither: both can be had",
        {"epoch": True, "steps": False, "no": False},
    ),
    Parameter("training.eval_steps", "evaluation.everySteps", 100, 100),
    Parameter(
        "training.eval_accumulation_steps",
        "evaluation.accumulationSteps",
        4,
        None,
        "absent: outputs move when the evaluation ends",
    ),
    Parameter(
        "training.per_device_eval_batch_size",
        "evaluation.microBatchSize",
        4,
        None,
        "absent: training.microBatchSize, which is known to fit",
    ),
    Parameter(
        "training.compute_metrics",
        "evaluation.metrics",
        True,
        [],
        "the loss always; others by name",
        {True: ["perplexity", "tokenAccuracy"], False: []},
    ),
    Parameter(
        "training.early_stopping",
        "training.earlyStopping",
        True,
        None,
        "absent: no early stopping",
        {True: {}, False: None},
    ),
    Parameter("training.early_stopping_patience", "training.earlyStopping.patience", 3, 3),
    Parameter("training.early_stopping_threshold", "training.earlyStopping.threshold", 0.0001, 0.0001),
)

_CHECKPOINTS = (
    Parameter(
        "training.save_strategy",
        "checkpoints.atEpochEnd",
        "steps",
        False,
        "steps is everySteps over 0, epoch is atEpochEnd, no is neither: both can be had",
        {"epoch": True, "steps": False, "no": False},
    ),
    Parameter("training.save_steps", "checkpoints.everySteps", 500, 500),
    Parameter("training.save_total_limit", "checkpoints.keep", 3, 3),
    Parameter(
        "training.load_best_model_at_end",
        "output.checkpoint",
        True,
        "last",
        "the best one is known only where there is evaluation data",
        {True: "best", False: "last"},
    ),
    Parameter("training.metric_for_best_model", "checkpoints.metric", "loss", "loss"),
    Parameter("training.greater_is_better", "checkpoints.greaterIsBetter", False, False),
    Parameter("training.push_to_hub", "output.hub", False, None, "absent: nothing is pushed"),
    Parameter("training.hub_model_id", "output.hub.id", None, REQUIRED, "required within output.hub"),
    Parameter(
        "training.hub_strategy",
        "output.hub.strategy",
        "every_save",
        "end",
        "the result is pushed once it has been loaded and run",
        {"every_save": "everySave", "checkpoint": "checkpoint", "end": "end"},
    ),
    Parameter(
        "training.hub_token",
        "output.hub.tokenSecret",
        "${HF_TOKEN}",
        REQUIRED,
        "a Secret instead of a value in the file",
    ),
)

_LOGGING = (
    Parameter("training.logging_steps", "training.loggingSteps", 10, 10),
    Parameter("training.logging_first_step", "training.loggingFirstStep", True, True),
    Parameter(
        "training.report_to",
        "tracking.trackers[].type",
        ["tensorboard"],
        REQUIRED,
        "none is an empty list; metrics.jsonl and the status are there without a tracker",
        {"tensorboard": "tensorboard", "wandb": "wandb"},
    ),
)

_OPTIMIZATION = (
    Parameter(
        "optimization.cuda.use_flash_attention",
        "model.attention",
        True,
        "auto",
        "auto takes what the device and the image have",
        {True: "flash_attention_2", False: "sdpa"},
    ),
    Parameter(
        "optimization.cuda.use_bf16", "training.precision", True, "auto", AUTO_PRECISION, {True: "bf16"}
    ),
    Parameter(
        "optimization.cuda.gradient_checkpointing",
        "training.gradientCheckpointing",
        True,
        "auto",
        _AUTO_CHECKPOINTING,
        {True: "full", False: "none"},
    ),
    Parameter(
        "optimization.cuda.optim", "training.optimizer", "adamw_8bit", "adamw", _ONE_OPTIMIZER, _OPTIMIZERS
    ),
    Parameter("optimization.cuda.per_device_batch_size", "training.microBatchSize", 8, 1, _FITS_MOST),
    Elsewhere(
        "optimization.mps.use_cpu_offload",
        "not a field: pods have no Apple GPU; offload is distributed.offload.optimizer",
    ),
    Parameter(
        "optimization.mps.torch_dtype",
        "model.loadPrecision",
        "float32",
        "auto",
        "auto is fp32 without a GPU of ours",
        TYPES,
    ),
    Parameter(
        "optimization.mps.per_device_batch_size", "training.microBatchSize", 2, 1, "1 fits the most devices"
    ),
    Parameter(
        "optimization.mps.gradient_accumulation_steps",
        "training.gradientAccumulationSteps",
        8,
        16,
        "1 × 16 is the document's effective batch of 2 × 8",
    ),
    Parameter(
        "optimization.cpu.torch_dtype",
        "model.loadPrecision",
        "float32",
        "auto",
        "auto is fp32 on CPU",
        TYPES,
    ),
    Parameter("optimization.cpu.per_device_batch_size", "training.microBatchSize", 1, 1),
    Parameter("optimization.cpu.gradient_accumulation_steps", "training.gradientAccumulationSteps", 16, 16),
    Elsewhere("optimization.cpu.use_ipex", "not a field: PyTorch itself holds what that extension added"),
)

TRAINING: Final[tuple[Row, ...]] = (*_TRAINING, *_EVALUATION, *_CHECKPOINTS, *_LOGGING, *_OPTIMIZATION)
