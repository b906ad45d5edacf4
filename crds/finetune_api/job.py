"""FineTuneJob: one fine-tuning run, from a manifest to a model."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_api.base import ApiModel, Integer, StatusModel, Timestamp, cel, cel_rules
from finetune_api.budget import BudgetSpec
from finetune_api.dataset import DatasetSpec
from finetune_api.distributed import DistributedSpec
from finetune_api.evaluation import EvaluationSpec
from finetune_api.failure_policy import FailurePolicySpec
from finetune_api.immutability import IMMUTABILITY_RULES
from finetune_api.method import MethodSpec
from finetune_api.model import ModelSpec
from finetune_api.naming import JOB_NAME
from finetune_api.quantization import QuantizationSpec
from finetune_api.resources import ResourcesSpec
from finetune_api.rules_over_sections import WITHOUT_PRESET
from finetune_api.storage import CheckpointsSpec, OutputSpec
from finetune_api.tracking import TrackingSpec
from finetune_api.training import TrainingSpec


class ObjectMeta(StatusModel):
    """The part of Kubernetes' object metadata that the product reads; other fields are ignored."""

    name: str = Field(default="", description="Name of the job.")
    generate_name: str = Field(default="", description="Prefix of a name that the API server completes.")
    namespace: str = Field(default="default", description="Namespace of the job.")
    uid: str = Field(default="", description="Identity of this very object.")
    generation: Annotated[Integer, Field(ge=0)] = Field(
        default=0, description="Grows with each change of the spec."
    )
    resource_version: str = Field(default="", description="Version of the object as stored.")
    labels: dict[str, str] = Field(default={}, description="Labels.")
    annotations: dict[str, str] = Field(default={}, description="Annotations.")
    creation_timestamp: Timestamp | None = Field(default=None, description="When it was created.")
    deletion_timestamp: Timestamp | None = Field(default=None, description="When its deletion was asked for.")


class FineTuneJobSpec(ApiModel):
    """What to train, on what, how and where. Fixed after the start, but for suspend, cancel and limits."""

    model_config = ConfigDict(json_schema_extra=cel_rules(*WITHOUT_PRESET))

    suspend: bool = Field(
        default=False, description="Pauses the job: the ranks save and end; false lets it go on from there."
    )
    cancel: bool = Field(
        default=False,
        description="Ends the job for good: the ranks save a checkpoint and end, and no attempt follows. It "
        "can't be taken back. A new job with the same settings and storage goes on from the checkpoint.",
        json_schema_extra=cel_rules(
            cel("!oldSelf || self", "a job stays cancelled: create a new one, which resumes its checkpoint")
        ),
    )
    preset: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None,
        description="FineTunePreset of the job's namespace, or built-in preset, whose values the job starts "
        "from. What the job sets itself comes first.",
    )
    model: ModelSpec = Field(description="What is trained.")
    method: MethodSpec = Field(default={}, validate_default=True, description="Which weights are trained.")
    quantization: QuantizationSpec = Field(
        default={}, validate_default=True, description="How the frozen base is stored."
    )
    dataset: DatasetSpec = Field(description="What is learned from.")
    training: TrainingSpec = Field(
        default={},
        validate_default=True,
        description="Stage, duration, batch, optimizer, schedule, precision.",
    )
    distributed: DistributedSpec = Field(
        default={}, validate_default=True, description="Nodes, processes per node, and ZeRO."
    )
    resources: ResourcesSpec = Field(
        default={}, validate_default=True, description="What each pod gets, and where it may run."
    )
    checkpoints: CheckpointsSpec = Field(
        default={},
        validate_default=True,
        description="When checkpoints are written, where, and how many stay.",
    )
    output: OutputSpec = Field(default={}, validate_default=True, description="What the job leaves behind.")
    evaluation: EvaluationSpec = Field(
        default={}, validate_default=True, description="What is measured while training and after it."
    )
    tracking: TrackingSpec = Field(
        default={}, validate_default=True, description="Experiment trackers; none by default."
    )
    failure_policy: FailurePolicySpec = Field(
        default={}, validate_default=True, description="Retries, limits and deadlines."
    )
    budget: BudgetSpec = Field(
        default={}, validate_default=True, description="Limits in money, time and energy; none by default."
    )


def processes_per_node(spec: FineTuneJobSpec) -> int:
    """Ranks on each node: as asked for, else one per accelerator, else one."""
    return spec.distributed.processes_per_node or spec.resources.accelerators.per_node or 1


class FineTuneJob(ApiModel):
    """FineTuneJob fine-tunes a language model: it checks the spec, runs the trainer, survives failures and
    leaves an adapter or a model that loads."""

    # The part that people write: `FineTuneJobStatus`, which only the operator writes, is read apart from it.
    model_config = ConfigDict(json_schema_extra=cel_rules(JOB_NAME.in_cel(), *IMMUTABILITY_RULES))

    api_version: Literal["finetune.dev/v1alpha1"] = Field(
        default="finetune.dev/v1alpha1", description="Version of the API."
    )
    kind: Literal["FineTuneJob"] = Field(default="FineTuneJob", description="Kind of the object.")
    metadata: ObjectMeta = Field(default={}, validate_default=True, description="Kubernetes object metadata.")
    spec: FineTuneJobSpec = Field(
        description="What to train, on what, how and where. Fixed once the job has started, but for suspend, "
        "cancel, budget, and limits in failurePolicy."
    )
