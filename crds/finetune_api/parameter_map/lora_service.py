"""The parameters of the LoRA service."""

from typing import Final

from finetune_api.parameter_map.row import NOTHING, Document, Elsewhere, Parameter

LORA_SERVICE: Final = Document(
    "LoRA service",
    (
        Parameter(
            "model",
            "model.id",
            NOTHING,
            None,
            "its six models are in the catalog (`finetune models`); any other id works too",
            {
                "llama-2-7b": "meta-llama/Llama-2-7b-hf",
                "llama-2-13b": "meta-llama/Llama-2-13b-hf",
                "mistral-7b": "mistralai/Mistral-7B-v0.1",
                "phi-2": "microsoft/phi-2",
                "gemma-7b": "google/gemma-7b",
                "tinyllama-1.1b": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
            },
        ),
        Parameter(
            "dataset",
            "dataset.train.upload",
            NOTHING,
            None,
            "an uploaded file is one of seven sources of data",
        ),
        Parameter(
            "dataset format",
            "dataset.format",
            "csv",
            "alpaca",
            "csv has the columns input and output, as the document wants them",
        ),
        Parameter("input", "dataset.columns.input", "input", None, "absent: the format's own name, input"),
        Parameter(
            "output", "dataset.columns.output", "output", None, "absent: the format's own name, output"
        ),
        Parameter("r", "method.lora.rank", 16, 16),
        Parameter("alpha", "method.lora.alpha", 32, 32.0),
        Parameter(
            "target modules",
            "method.lora.targetModules",
            ["q_proj", "k_proj", "v_proj", "o_proj"],
            ["all-linear"],
            "all linear layers, by whatever names the model gives them, learn more than attention alone",
        ),
        Parameter("dropout", "method.lora.dropout", 0.05, 0.05),
        Parameter("training epochs", "training.epochs", 3, 3.0),
        Parameter("learning rate", "training.learningRate", 2e-4, 2e-4),
        Parameter(
            "4-bit quantization",
            "quantization.type",
            True,
            "none",
            "the service trains on small free GPUs; here the base is quantized when somebody asks for it",
            {True: "nf4", False: "none"},
        ),
        Elsewhere("job_id", "metadata.name and metadata.uid of the FineTuneJob"),
        Elsewhere(
            "colab_url", "not a field: the operator starts the pods itself, no notebook is opened by hand"
        ),
        Elsewhere("message", "status.conditions[].message"),
        Elsewhere("status", "status.phase for people, status.conditions for programs"),
        Elsewhere("status: pending", "status.phase: Queued or Starting"),
        Elsewhere("status: training", "status.phase: Running"),
        Elsewhere("status: completed", "status.phase: Succeeded"),
        Elsewhere("status: failed", "status.phase: Failed"),
        Elsewhere("progress", "status.progress.percent"),
        Elsewhere("error", "status.conditions[].message of Failed or Stalled, with the remedy"),
        Elsewhere("created_at", "metadata.creationTimestamp"),
        Elsewhere("updated_at", "status.progress.updatedTime"),
        Elsewhere("POST /api/train", "`kubectl apply`, `finetune submit`"),
        Elsewhere("GET /api/train/status", "`kubectl get ftj`, `finetune get`"),
        Elsewhere("POST /api/train/update", "the trainer reports to the operator's status server by itself"),
    ),
)
