"""The parameters of the wizard."""

from typing import Final

from finetune_api.parameter_map.row import REQUIRED, Document, Elsewhere, Parameter

_ONE_PLACE = "the model comes from one place: id or path, not both"

WIZARD: Final = Document(
    "wizard",
    (
        Parameter(
            "provider",
            "resources.provider",
            "local",
            "cluster",
            "a job runs on the cluster that it is applied to, unless it says otherwise",
            {"local": "local", "runpod": "runpod", "lambda": "lambda", "vast": "vast"},
        ),
        Parameter(
            "algorithm",
            "method.type",
            "lora",
            "lora",
            values={"lora": "lora", "qlora": "qlora", "dora": "dora", "pissa": "pissa", "rslora": "rslora"},
        ),
        Parameter(
            "quantization",
            "quantization.type",
            "none",
            "none",
            values={"none": "none", "int8": "int8", "int4": "int4", "nf4": "nf4"},
        ),
        Parameter(
            "experiment_tracker",
            "tracking.trackers[].type",
            "wandb",
            REQUIRED,
            "none is an empty list, and several trackers can be named",
            {"wandb": "wandb", "comet": "comet", "phoenix": "phoenix"},
        ),
        Parameter(
            "project_name", "tracking.project", "my-project", None, "needed as soon as a tracker is named"
        ),
        Parameter("model_name", "model.id", "meta-llama/Llama-2-7b", None, _ONE_PLACE),
        Parameter("model_path", "model.path", "/models/llama-2-7b", None, _ONE_PLACE),
        Parameter(
            "dataset_id", "dataset.train.hub.id", "my-dataset", REQUIRED, "the data come from one place"
        ),
        Parameter(
            "dataset_path", "dataset.train.path", "/data/my-dataset", None, "the data come from one place"
        ),
        Parameter("lora_r", "method.lora.rank", 8, 16, "the other documents start at 16"),
        Parameter("lora_alpha", "method.lora.alpha", 16, 32.0, "twice the rank, as in the document"),
        Parameter(
            "lora_dropout",
            "method.lora.dropout",
            0.1,
            0.05,
            "the value of two other documents; the range excludes 1, which drops everything",
        ),
        Parameter(
            "target_modules",
            "method.lora.targetModules",
            ["q_proj", "k_proj", "v_proj", "o_proj"],
            ["all-linear"],
            "all linear layers, by whatever names the model gives them, learn more than attention alone",
        ),
        Parameter("learning_rate", "training.learningRate", 2e-4, 2e-4),
        Parameter(
            "batch_size",
            "training.microBatchSize",
            4,
            1,
            "1 fits the most devices; 1 × 16 is the document's effective batch of 4 × 4",
        ),
        Parameter(
            "gradient_accumulation_steps",
            "training.gradientAccumulationSteps",
            4,
            16,
            "1 × 16 is the document's effective batch of 4 × 4",
        ),
        Parameter("num_epochs", "training.epochs", 3, 3.0),
        Elsewhere(
            "use_case", "the wizard's first step is the choice of a preset: spec.preset, `finetune presets`"
        ),
        Elsewhere("is_valid", "`finetune validate FILE -o json`: valid; admission by the webhook"),
        Elsewhere(
            "errors", "`finetune validate FILE -o json`: errors, each with code, path, value and remedy"
        ),
        Elsewhere("warnings", "`finetune validate FILE -o json`: warnings; kubectl prints them too"),
        Elsewhere("suggestions", "`finetune validate FILE -o json`: suggestions; kubectl prints them too"),
        Elsewhere("time_estimate", "`finetune estimate`; status.estimate"),
        Elsewhere("cost_estimate", "`finetune estimate`; status.estimate; limits in spec.budget"),
        Elsewhere("carbon_estimate", "`finetune estimate`; status.estimate; limits in spec.budget"),
        Elsewhere(
            "memory_requirement", "`finetune estimate`: a job that can't fit is refused with what would"
        ),
    ),
)
