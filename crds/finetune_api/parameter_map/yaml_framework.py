"""The parameters of the YAML framework."""

from typing import Final

from pydantic import JsonValue

from finetune_api.parameter_map.row import REQUIRED, Document, Elsewhere, Parameter

_LINEAR: Final[list[JsonValue]] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
]

_MODEL = (
    Parameter(
        "model.base_model",
        "model.id",
        REQUIRED,
        None,
        "required as in the document, but a path is model.path and a model from scratch model.config",
    ),
    Parameter("model.tokenizer", "model.tokenizer.id", None, None, "absent: the model's own"),
    Parameter(
        "model.load_in_8bit",
        "quantization.type",
        False,
        "none",
        "one closed field instead of two truth values that can contradict each other",
        {True: "int8", False: "none"},
    ),
    Parameter(
        "model.load_in_4bit",
        "quantization.type",
        False,
        "none",
        "one closed field instead of two truth values that can contradict each other",
        {True: "nf4", False: "none"},
    ),
    Parameter(
        "model.trust_remote_code",
        "model.trustRemoteCode",
        True,
        False,
        "specs come from strangers: code from a model's repository runs only when somebody asks for it",
    ),
    Parameter(
        "model.use_flash_attention",
        "model.attention",
        True,
        "auto",
        "auto takes what the device and the image have",
        {True: "flash_attention_2", False: "sdpa"},
    ),
    Parameter(
        "model.use_liger_kernels",
        "model.kernels",
        False,
        "none",
        "one closed field for all kernels",
        {True: "liger", False: "none"},
    ),
)

_FINE_TUNING = (
    Parameter(
        "fine_tuning.method",
        "method.type",
        "qlora",
        "lora",
        "lora needs no quantized base and runs on every device",
        {"full": "full", "lora": "lora", "qlora": "qlora", "spectrum": "spectrum"},
    ),
    Parameter("fine_tuning.lora.r", "method.lora.rank", 16, 16),
    Parameter("fine_tuning.lora.alpha", "method.lora.alpha", 32, 32.0),
    Parameter("fine_tuning.lora.dropout", "method.lora.dropout", 0.05, 0.05),
    Parameter(
        "fine_tuning.lora.target_modules",
        "method.lora.targetModules",
        _LINEAR,
        ["all-linear"],
        "all-linear is that list, by whatever names the model gives its layers",
    ),
    Parameter(
        "fine_tuning.lora.bias",
        "method.lora.bias",
        "none",
        "none",
        values={"none": "none", "all": "all", "lora_only": "loraOnly"},
    ),
    Parameter(
        "fine_tuning.lora.task_type",
        "method.lora.taskType",
        "CAUSAL_LM",
        "auto",
        "auto follows training.stage: a causal model for all but rm",
        {"CAUSAL_LM": "causalLm", "SEQ_CLS": "sequenceClassification"},
    ),
    Parameter(
        "fine_tuning.spectrum.snr_threshold",
        "method.spectrum.topFraction",
        0.5,
        0.5,
        "topFraction = 1 − snr_threshold: the share that is trained, which can't be misread",
    ),
    Parameter(
        "fine_tuning.spectrum.layers_to_finetune",
        "method.spectrum.layers",
        "auto",
        [],
        "empty means measured on the weights, as auto does",
        {"auto": []},
    ),
    Parameter(
        "fine_tuning.quantization.bits",
        "quantization.type",
        4,
        "none",
        "the base is quantized only when somebody asks for it",
        {4: "nf4", 8: "int8"},
    ),
    Parameter(
        "fine_tuning.quantization.bnb_4bit_compute_dtype",
        "quantization.computeType",
        "bfloat16",
        "auto",
        "auto follows training.precision: bf16 where the device has it",
        {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"},
    ),
    Parameter(
        "fine_tuning.quantization.bnb_4bit_quant_type",
        "quantization.type",
        "nf4",
        "none",
        "the base is quantized only when somebody asks for it",
        {"nf4": "nf4", "fp4": "fp4"},
    ),
    Parameter(
        "fine_tuning.quantization.bnb_4bit_use_double_quant", "quantization.doubleQuantization", True, True
    ),
)

_TRAINING = (
    Parameter("training.epochs", "training.epochs", 3, 3.0),
    Parameter("training.micro_batch_size", "training.microBatchSize", 1, 1),
    Parameter("training.gradient_accumulation_steps", "training.gradientAccumulationSteps", 16, 16),
    Parameter("training.learning_rate", "training.learningRate", 2e-4, 2e-4),
    Parameter(
        "training.lr_scheduler_type",
        "training.schedule.type",
        "cosine",
        "cosine",
        "constant has a warm-up unless warmupRatio is 0",
        {"cosine": "cosine", "linear": "linear", "constant_with_warmup": "constant"},
    ),
    Parameter("training.warmup_ratio", "training.schedule.warmupRatio", 0.03, 0.03),
    Parameter(
        "training.max_grad_norm",
        "training.maxGradNorm",
        0.3,
        1.0,
        "the value of the other documents and of the libraries; 0.3 suits qlora",
    ),
    Parameter(
        "training.optimizer",
        "training.optimizer",
        "paged_adamw_8bit",
        "adamw",
        "adamw runs on every device and under ZeRO offload",
        {"adamw_8bit": "adamw8bit", "paged_adamw_8bit": "pagedAdamw8bit", "adamw_torch": "adamw"},
    ),
    Parameter(
        "training.weight_decay", "training.weightDecay", 0.001, 0.01, "the value of the two other documents"
    ),
    Parameter(
        "training.max_seq_length",
        "training.maxSequenceLength",
        4096,
        2048,
        "the document's consumer template uses 2048, which fits more devices",
    ),
    Parameter(
        "training.gradient_checkpointing",
        "training.gradientCheckpointing",
        True,
        "auto",
        "auto checkpoints where memory is short: elsewhere it only costs time",
        {True: "full", False: "none"},
    ),
    Parameter(
        "training.mixed_precision",
        "training.precision",
        "bf16",
        "auto",
        "auto is bf16 where the device has it",
        {"bf16": "bf16", "fp16": "fp16", "no": "fp32"},
    ),
)

_DATASET = (
    Parameter(
        "dataset.format",
        "dataset.format",
        "alpaca",
        "alpaca",
        values={"alpaca": "alpaca", "sharegpt": "sharegpt", "oasst": "oasst", "custom": "custom"},
    ),
    Parameter(
        "dataset.train_path", "dataset.train.path", "data/train.json", None, "required: no path is a default"
    ),
    Parameter("dataset.eval_path", "dataset.eval.path", "data/eval.json", None, "no path is a default"),
    Parameter("dataset.preprocessing.add_eos_token", "dataset.preprocessing.addEosToken", True, True),
    Parameter("dataset.preprocessing.add_bos_token", "dataset.preprocessing.addBosToken", False, False),
    Parameter("dataset.preprocessing.use_chat_template", "dataset.preprocessing.useChatTemplate", True, True),
)

_DISTRIBUTED = (
    Parameter(
        "distributed.use_deepspeed",
        "distributed.engine",
        True,
        "auto",
        "auto is deepspeed as soon as there is something to share out",
        {True: "deepspeed", False: "torch"},
    ),
    Parameter(
        "distributed.deepspeed_config",
        "distributed.deepspeedConfig",
        "config/ds_config.json",
        None,
        "the file's content instead of its path: a pod has no such file",
    ),
    Parameter(
        "distributed.zero_stage",
        "distributed.zeroStage",
        2,
        0,
        "a single rank, which is the default, has nobody to share with",
    ),
    Parameter(
        "distributed.gradient_accumulation_steps",
        "training.gradientAccumulationSteps",
        16,
        16,
        "one field: in the document it stands twice and may contradict itself",
    ),
)

_OUTPUT = (
    Parameter(
        "output.output_dir",
        "checkpoints.storage.subPath",
        "models/runs",
        None,
        "a directory of its own for each job; the result can go to output.storage",
    ),
    Parameter("output.logging_steps", "training.loggingSteps", 10, 10),
    Parameter(
        "output.eval_steps", "evaluation.everySteps", 100, 100, "one field: it stands twice in the document"
    ),
    Parameter("output.save_steps", "checkpoints.everySteps", 500, 500),
    Parameter(
        "output.save_total_limit",
        "checkpoints.keep",
        5,
        3,
        "the best one is kept beside them, and full checkpoints are large",
    ),
    Parameter("output.push_to_hub", "output.hub", False, None, "absent: nothing is pushed"),
    Parameter("output.hub_model_id", "output.hub.id", None, REQUIRED, "required within output.hub"),
)

_EVALUATION = (
    Parameter(
        "evaluation.do_eval",
        "dataset.eval",
        True,
        None,
        "there is an evaluation where there is data for it: dataset.eval or dataset.evalSplit",
    ),
    Parameter(
        "evaluation.eval_batch_size",
        "evaluation.microBatchSize",
        8,
        None,
        "absent: training.microBatchSize, which is known to fit",
    ),
    Parameter(
        "evaluation.eval_strategy",
        "evaluation.atEpochEnd",
        "steps",
        False,
        "steps is everySteps over 0, epoch is atEpochEnd, no is neither: both can be had",
        {"epoch": True, "steps": False, "no": False},
    ),
    Parameter(
        "evaluation.eval_steps",
        "evaluation.everySteps",
        200,
        100,
        "the document says 100 under output; here there is one field",
    ),
    Parameter(
        "evaluation.benchmarks",
        "evaluation.benchmarks[].type",
        ["lm-evaluation-harness", "domain-specific-eval", "human-eval"],
        REQUIRED,
        "benchmarks run only when somebody asks for them",
        {
            "lm-evaluation-harness": "lmEvaluationHarness",
            "domain-specific-eval": "prompts",
            "human-eval": "humanEval",
        },
    ),
)

_COMMANDS = (
    Elsewhere("train.py --config", "`finetune run FILE`, or `kubectl apply -f FILE`"),
    Elsewhere("--model.base_model", "`--set model.id=…` on every verb that takes a manifest"),
    Elsewhere("--training.learning_rate", "`--set training.learningRate=…`"),
    Elsewhere("validate_config.py --config", "`finetune validate FILE`"),
)

YAML_FRAMEWORK: Final = Document(
    "YAML framework",
    (
        *_MODEL,
        *_FINE_TUNING,
        *_TRAINING,
        *_DATASET,
        *_DISTRIBUTED,
        *_OUTPUT,
        *_EVALUATION,
        *_COMMANDS,
    ),
)
