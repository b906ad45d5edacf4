"""What a trainer sends to the operator's status server.

A superset of Kubeflow Trainer's status protocol, which transformers speaks by itself: `trainerStatus` is
theirs, `finetune` is ours and optional.
"""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from finetune_api.base import Count, Instant, Integer, StatusModel
from finetune_api.result import TrainingResult
from finetune_api.status import (
    Activity,
    CheckpointsStatus,
    EffectiveMap,
    EvaluationStatus,
    HubStatus,
    OutputStatus,
    Warnings,
)

SERVER_URL_VARIABLE: Final = "KUBEFLOW_TRAINER_SERVER_URL"
SERVER_CA_VARIABLE: Final = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
SERVER_TOKEN_VARIABLE: Final = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105 - the name of a variable that holds a path

HUB_TOKEN_VARIABLE: Final = "FINETUNE_HUB_TOKEN"  # noqa: S105 - the name of a variable
"""Environment of a training pod: the token of `output.hub`, which may write."""

MAX_REPORT_BYTES: Final = 65536
"""Largest report that the status server reads."""


def status_path(namespace: str, job: str, attempt: int) -> str:
    """Path of the status endpoint for one attempt of a job."""
    return f"/v1alpha1/namespaces/{namespace}/finetunejobs/{job}/attempts/{attempt}/status"


def _decimal_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Metric(StatusModel):
    """One metric: a name and its value as a decimal string."""

    name: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="Name of the metric.")
    value: Annotated[str, BeforeValidator(_decimal_text), Field(max_length=256)] = Field(
        description="Value, as a decimal string."
    )


class TrainerStatus(StatusModel):
    """Kubeflow Trainer's part of a report."""

    progress_percentage: Annotated[Integer, Field(ge=0, le=100)] | None = Field(
        default=None, description="Share done, in percent."
    )
    estimated_remaining_seconds: Count | None = Field(
        default=None, description="Expected time left, in seconds."
    )
    metrics: Annotated[list[Metric], Field(max_length=256)] = Field(default=[], description="Latest metrics.")
    last_updated_time: Instant | None = Field(default=None, description="When the trainer wrote this.")


class FineTuneReport(StatusModel):
    """Our part of a report: what Kubeflow's has no words for."""

    step: Count = Field(default=0, description="Optimizer steps done.")
    total_steps: Count | None = Field(
        default=None, description="Optimizer steps of the whole run, once known."
    )
    epoch: Annotated[float, Field(ge=0, le=1e9)] | None = Field(
        default=None, description="Passes over the data done."
    )
    tokens: Count | None = Field(default=None, description="Tokens seen.")
    resumed_step: Count | None = Field(
        default=None, description="Step of the checkpoint that the attempt started from."
    )
    activity: Activity | None = Field(default=None, description="What the ranks are doing.")
    checkpoints: CheckpointsStatus | None = Field(default=None, description="Latest and best checkpoint.")
    output: OutputStatus | None = Field(default=None, description="What was written, where.")
    hub: HubStatus | None = Field(default=None, description="What is on the Hugging Face hub.")
    evaluation: EvaluationStatus | None = Field(default=None, description="Benchmarks and sample answers.")
    effective: EffectiveMap = Field(default={}, description="What really runs, after automatic decisions.")
    warnings: Warnings = Field(
        default=[], description="What is wrong without stopping the run, such as a tracker."
    )
    result: TrainingResult | None = Field(default=None, description="How the attempt ended, once it has.")
    sent_at: Instant | None = Field(
        default=None, description="When this was sent; an older report never replaces a newer one."
    )


class ProgressReport(StatusModel):
    """The body of a POST to the status server."""

    trainer_status: TrainerStatus = Field(description="Kubeflow Trainer's part.")
    finetune: FineTuneReport | None = Field(default=None, description="Our part; absent from other trainers.")
