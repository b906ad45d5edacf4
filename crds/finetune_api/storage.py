"""`spec.checkpoints` and `spec.output`: what is kept, where, and what becomes of it."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, DnsSubdomain, FloatType, HubId, Integer, Quantity
from finetune_api.kubernetes import SecretKeyRef

AccessMode = Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]


class StorageSpec(ApiModel):
    """A volume for checkpoints and outputs: one that exists, or one that the operator creates."""

    claim_name: DnsSubdomain | None = Field(
        default=None,
        description="PersistentVolumeClaim that exists. When absent, the operator creates <job>-storage of "
        "the given size, and never deletes it.",
    )
    size: Quantity = Field(
        default="10Gi", description="Size of the claim that the operator creates; not used with claimName."
    )
    storage_class_name: DnsSubdomain | None = Field(
        default=None, description="StorageClass of that claim; the cluster's default when absent."
    )
    access_modes: Annotated[list[AccessMode], Field(min_length=1, max_length=3)] = Field(
        default=["ReadWriteOnce"],
        description="Access modes of that claim. Pods on several nodes need ReadWriteMany.",
    )
    sub_path: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Relative directory within the volume; the job's name when absent."
    )

    @property
    def creates_claim(self) -> bool:
        """Whether the operator creates the claim, rather than using one that exists."""
        return self.claim_name is None


class CheckpointsSpec(ApiModel):
    """When checkpoints are written, how many are kept, and which one a new attempt starts from."""

    storage: StorageSpec = Field(
        default={}, validate_default=True, description="Volume that holds the job's run directory."
    )
    every_steps: Annotated[Integer, Field(ge=0, le=100_000_000)] = Field(
        default=500, description="Optimizer steps between checkpoints; 0 for none by steps."
    )
    every_minutes: Annotated[float, Field(gt=0, le=10080)] | None = Field(
        default=None, description="Minutes between checkpoints, beside everySteps; never when absent."
    )
    at_epoch_end: bool = Field(
        default=False, description="Whether a checkpoint is written after each epoch too."
    )
    keep: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        default=3, description="Newest checkpoints that are kept; the best one is kept beside them."
    )
    resume: Literal["auto", "never"] = Field(
        default="auto",
        description="auto: from the newest whole checkpoint of the same run. never: from the start; "
        "checkpoints that are there are set aside, not deleted.",
    )
    universal: bool = Field(
        default=False,
        description="Whether a run goes on from a checkpoint of another number of ranks or ZeRO stage, with "
        "the data in the same order and approximately the same numbers.",
    )
    metric: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_./-]+$")] = Field(
        default="loss", description="Evaluation metric by which the best checkpoint is chosen."
    )
    greater_is_better: bool = Field(
        default=False, description="Whether a higher value of that metric is better."
    )

    @property
    def measured_metric(self) -> str:
        """The metric as evaluations call it; `eval_loss` is another name of `loss`."""
        return self.metric.removeprefix("eval_")


class HubOutputSpec(ApiModel):
    """Pushes the result to the Hugging Face hub."""

    id: HubId = Field(description="Repository on the hub: organisation/name.")
    revision: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        default="main", description="Branch that is pushed to."
    )
    private: bool = Field(
        default=True,
        description="Whether the repository is private; then one that everybody can read is not pushed to.",
    )
    strategy: Literal["end", "everySave", "checkpoint"] = Field(
        default="end",
        description="end: the result once. everySave: also the model at each checkpoint. checkpoint: also "
        "all that is needed to resume, in the folder last-checkpoint.",
    )
    token_secret: SecretKeyRef = Field(description="Hub token that may write.")


class OutputSpec(ApiModel):
    """What the job leaves behind."""

    storage: StorageSpec | None = Field(
        default=None, description="Volume for the result; the one of the checkpoints when absent."
    )
    checkpoint: Literal["last", "best"] = Field(
        default="last", description="Which state becomes the result: the last one or the best one."
    )
    merge_adapter: bool = Field(
        default=False, description="Whether the adapter is also merged into a full 16-bit model."
    )
    precision: FloatType = Field(
        default="auto",
        description="Type in which a model is written. auto: a whole model in the run's precision; a merged "
        "one in its base's 16-bit type, or bf16.",
    )
    max_shard_size_gb: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=5.0, alias="maxShardSizeGB", description="Largest weight file, in 10⁹ bytes."
    )
    model_card: bool = Field(
        default=False, description="Whether a README with the facts of the run is written beside the result."
    )
    hub: HubOutputSpec | None = Field(
        default=None, description="Pushes the result to the Hugging Face hub; not when absent."
    )
