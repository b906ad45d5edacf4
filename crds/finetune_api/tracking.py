"""`spec.tracking`: who else is told about the run."""

from typing import Annotated, Final, Literal

from pydantic import Field

from finetune_api.base import ApiModel, ShortText, Url, keyed_by
from finetune_api.kubernetes import SecretKeyRef

KEY_VARIABLES: Final = {
    "wandb": "WANDB_API_KEY",
    "comet": "COMET_API_KEY",
    "phoenix": "PHOENIX_API_KEY",
    "mlflow": "MLFLOW_TRACKING_TOKEN",
    "trackio": "TRACKIO_WRITE_TOKEN",
}
"""The variable from which each tracker's library reads its key; `apiKeySecret` becomes it in the pod."""


class TrackerSpec(ApiModel):
    """One experiment tracker."""

    type: Literal["tensorboard", "wandb", "comet", "phoenix", "mlflow", "trackio"] = Field(
        description="Which tracker."
    )
    url: Url | None = Field(
        default=None,
        description="Address of its server. When absent: the public service of wandb and comet; files beside "
        "the checkpoints for the others.",
    )
    workspace: ShortText | None = Field(
        default=None, description="Team, entity or workspace that owns the project."
    )
    api_key_secret: SecretKeyRef | None = Field(default=None, description="Key for its API.")
    offline: bool = Field(
        default=False,
        description="Whether it writes files beside the checkpoints instead of calling a server.",
    )
    log_artifacts: bool = Field(default=False, description="Whether checkpoints are uploaded to it too.")


class TrackingSpec(ApiModel):
    """Experiment trackers; none by default. A tracker that is down never stops training."""

    trackers: Annotated[list[TrackerSpec], *keyed_by("type"), Field(max_length=6)] = Field(
        default=[], description="Trackers that receive metrics; none when empty."
    )
    project: ShortText | None = Field(default=None, description="Project that the run belongs to.")
    run_name: ShortText | None = Field(
        default=None, description="Name of the run; the job's name when absent."
    )
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=32)] = Field(
        default=[], description="Tags of the run."
    )
