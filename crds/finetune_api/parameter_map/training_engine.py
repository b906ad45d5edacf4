"""The parameters of the training engine."""

from typing import Final

from finetune_api.parameter_map.row import NOTHING, REQUIRED, Document, Elsewhere, Parameter

_IN_PYTHON: Final = "in Python as there (docs/python-api.md)"

_MODEL = (
    Parameter(
        "model_config.vocab_size",
        "model.config.vocabSize",
        50257,
        None,
        "absent: the tokenizer's size; 50257 is GPT-2's",
    ),
    Parameter("model_config.hidden_size", "model.config.hiddenSize", 768, 768),
    Parameter("model_config.num_layers", "model.config.layers", 12, 12),
    Parameter("model_config.num_heads", "model.config.attentionHeads", 12, 12),
)

_TRAINING = (
    Parameter("batch_size", "training.microBatchSize", 8, 1, "1 fits the most devices"),
    Parameter(
        "learning_rate",
        "training.learningRate",
        6e-4,
        2e-4,
        "6e-4 is for a model from scratch; most jobs tune adapters",
    ),
    Parameter(
        "max_steps",
        "training.maxSteps",
        100_000,
        None,
        "absent: training.epochs says how long; it replaces epochs",
    ),
    Parameter(
        "warmup_steps",
        "training.schedule.warmupSteps",
        2000,
        None,
        "absent: warmupRatio, which suits short runs too; it replaces the ratio",
    ),
    Parameter("optimizer_type", "training.optimizer", "adamw", "adamw", values={"adamw": "adamw"}),
    Parameter("weight_decay", "training.weightDecay", 0.01, 0.01),
    Parameter("adam_beta1", "training.adamBeta1", 0.9, 0.9),
    Parameter("adam_beta2", "training.adamBeta2", 0.999, 0.999),
    Parameter(
        "scheduler_type",
        "training.schedule.type",
        "cosine",
        "cosine",
        values={"cosine": "cosine", "linear": "linear", "constant": "constant"},
    ),
    Parameter(
        "gradient_accumulation_steps",
        "training.gradientAccumulationSteps",
        4,
        16,
        "with a micro-batch of 1, so that the effective batch is not tiny",
    ),
    Parameter("max_grad_norm", "training.maxGradNorm", 1.0, 1.0),
    Parameter(
        "mixed_precision",
        "training.precision",
        "bf16",
        "auto",
        "auto is bf16 where the device has it",
        {None: "fp32", "fp16": "fp16", "bf16": "bf16"},
    ),
    Parameter("logging_steps", "training.loggingSteps", 100, 10, "a line every 10 steps costs nothing"),
    Parameter(
        "save_steps",
        "checkpoints.everySteps",
        1000,
        500,
        "less is lost; the YAML framework and LlamaFarm say 500",
    ),
    Parameter(
        "eval_steps", "evaluation.everySteps", 500, 100, "the value of the YAML framework and LlamaFarm"
    ),
    Parameter(
        "checkpoint_dir",
        "checkpoints.storage.subPath",
        "./checkpoints",
        None,
        "absent: a directory named after the job, on the job's volume",
    ),
    Parameter(
        "max_checkpoints_to_keep",
        "checkpoints.keep",
        5,
        3,
        "the best one is kept beside them, and full checkpoints are large",
    ),
    Parameter(
        "wandb_project",
        "tracking.project",
        "my-project",
        None,
        "one project for all trackers; name wandb in trackers",
    ),
    Parameter("wandb_run_name", "tracking.runName", "experiment-1", None, "absent: the job's name"),
    Parameter(
        "resume_from_checkpoint",
        "checkpoints.resume",
        True,
        "auto",
        "auto resumes from the newest whole checkpoint of the same run",
        {True: "auto", False: "never"},
    ),
    Parameter(
        "min_lr_ratio",
        "training.schedule.minLearningRateRatio",
        0.1,
        0.0,
        "the other documents' cosine ends at 0",
    ),
    Parameter("num_workers", "training.dataLoader.workers", NOTHING, 0),
)

_OBJECTS = (
    Parameter("Trainer.train_dataset", "dataset.train", NOTHING, REQUIRED),
    Parameter(
        "Trainer.val_dataset", "dataset.eval", None, None, "dataset.evalSplit holds out a share instead"
    ),
    Elsewhere("Trainer.config", "the whole manifest"),
    Elsewhere(
        "TrainingConfig.validate",
        f"`finetune validate`; `kubectl apply` asks the same validator; {_IN_PYTHON}",
    ),
    Elsewhere(
        "TrainingConfig.from_yaml",
        f"`finetune run FILE`; `finetune import` reads the document's own files; {_IN_PYTHON}",
    ),
    Elsewhere(
        "TrainingConfig.to_yaml",
        f"`finetune export`; the ConfigMap of each attempt keeps the resolved job; {_IN_PYTHON}",
    ),
    Elsewhere(
        "TrainingConfig.get_effective_batch_size", f"`finetune estimate`; status.effective; {_IN_PYTHON}"
    ),
    Parameter(
        "CheckpointManager.checkpoint_dir",
        "checkpoints.storage.subPath",
        "./checkpoints",
        None,
        "absent: a directory named after the job, on the job's volume",
    ),
    Parameter(
        "CheckpointManager.max_checkpoints",
        "checkpoints.keep",
        5,
        3,
        "the best one is kept beside them, and full checkpoints are large",
    ),
    Elsewhere(
        "CheckpointManager.save_checkpoint",
        f"the trainer saves by itself, and once more on SIGTERM; {_IN_PYTHON}",
    ),
    Elsewhere(
        "CheckpointManager.load_checkpoint",
        f"every attempt resumes by itself: checkpoints.resume; {_IN_PYTHON}",
    ),
    Elsewhere("CheckpointManager.get_latest_checkpoint", f"status.checkpoints.latest; {_IN_PYTHON}"),
    Elsewhere(
        "CheckpointManager.list_checkpoints",
        f"status.checkpoints; the run directory on the volume; {_IN_PYTHON}",
    ),
    Parameter(
        "get_scheduler.warmup_steps",
        "training.schedule.warmupSteps",
        2000,
        None,
        "absent: warmupRatio, which suits short runs too",
    ),
    Elsewhere(
        "get_scheduler.total_steps",
        f"decided: maxSteps, or what epochs come to; status.progress.totalSteps; {_IN_PYTHON}",
    ),
    Elsewhere(
        "MetricsTracker.window_size", f"decided: metrics are means over training.loggingSteps; {_IN_PYTHON}"
    ),
    Elsewhere("metrics.loss", "status.metrics.loss; metrics.jsonl beside the checkpoints"),
    Parameter("metrics.perplexity", "evaluation.metrics", NOTHING, [], values={"perplexity": ["perplexity"]}),
    Elsewhere("metrics.grad_norm", "status.metrics.gradNorm"),
    Elsewhere("metrics.lr", "status.metrics.learningRate"),
    Elsewhere("metrics.tokens_per_second", "status.metrics.tokensPerSecond"),
    Elsewhere("metrics.gpu_memory", "status.metrics.peakMemoryBytes"),
)

_INTERFACES = (
    Elsewhere("configs.name", "metadata.name of a FineTunePreset"),
    Elsewhere("configs.config", "spec.values of a FineTunePreset"),
    Elsewhere("jobs.config", "spec of a FineTuneJob"),
    Parameter(
        "jobs.dataset_path", "dataset.train.path", "/path/to/data", None, "the data come from one place"
    ),
    Elsewhere("POST jobs/start", "`kubectl apply`, `finetune submit`"),
    Elsewhere("GET jobs", "`kubectl get ftj`, `finetune list`"),
    Elsewhere("GET jobs/status", "status of the FineTuneJob, `finetune get`"),
    Parameter("POST jobs/stop", "suspend", NOTHING, False, "`finetune suspend`; it saves first"),
    Parameter("POST jobs/resume", "suspend", NOTHING, False, "`finetune resume`: suspend back to false"),
    Elsewhere("GET metrics", "status.metrics"),
    Elsewhere("GET metrics/history", "metrics.jsonl beside the checkpoints"),
    Elsewhere("GET throughput", "status.metrics.tokensPerSecond"),
    Elsewhere("GET checkpoints", "status.checkpoints"),
    Elsewhere("GET checkpoints/download", "the job's volume, under checkpoints/"),
    Elsewhere("train.py --config", "`finetune run FILE`"),
    Elsewhere("train.py --resume", "`finetune run FILE` again: checkpoints.resume is auto"),
)

TRAINING_ENGINE: Final = Document("training engine", (*_MODEL, *_TRAINING, *_OBJECTS, *_INTERFACES))
