"""`spec.failurePolicy`: what may go wrong, how often and for how long."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, Integer

Seconds = Annotated[Integer, Field(ge=1, le=31_536_000)]


class DivergenceSpec(ApiModel):
    """When a run counts as diverged. A loss that is not a number always does."""

    max_loss: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="The run fails when the smoothed loss is above this; no limit when absent."
    )
    loss_increase_factor: Annotated[float, Field(gt=1, le=1000)] | None = Field(
        default=None,
        description="The run fails when the smoothed loss is this many times its lowest value; "
        "no limit when absent.",
    )
    spike_deviations: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None,
        description="The run fails when three losses in a row are above the window's median by this many "
        "deviations (1.4826 times the median absolute deviation, and at least 1 % of the median); losses "
        "that are above it do not enter the window. No limit when absent.",
    )
    window_steps: Annotated[Integer, Field(ge=1, le=100_000)] = Field(
        default=50,
        description="Optimizer steps whose median is the smoothed loss; nothing is judged before so many "
        "are done.",
    )


class FailurePolicySpec(ApiModel):
    """Retries, limits and deadlines."""

    max_retries: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        default=3,
        description="Attempts after the first that failures may use up. Preemption, eviction and "
        "suspension use up none.",
    )
    backoff_seconds: Annotated[Integer, Field(ge=0, le=86400)] = Field(
        default=10, description="Seconds before the first retry; doubles with each further one."
    )
    max_backoff_seconds: Annotated[Integer, Field(ge=0, le=86400)] = Field(
        default=600, description="Longest wait before a retry, in seconds."
    )
    out_of_memory: Literal["fail", "retry", "reduceMicroBatch"] = Field(
        default="fail",
        description="After running out of memory: fail, retry as it was, or halve microBatchSize and double "
        "gradientAccumulationSteps, which keeps the effective batch.",
    )
    start_timeout_seconds: Seconds = Field(
        default=900,
        description="The attempt fails when a pod has held its node for this long and can't start: its image "
        "can't be pulled, or a Secret, ConfigMap or volume is missing. Waiting for a node or a queue, and a "
        "slow pull, have no limit.",
    )
    stall_timeout_seconds: Seconds | None = Field(
        default=None, description="The attempt fails after this long without progress; no limit when absent."
    )
    active_deadline_seconds: Seconds | None = Field(
        default=None,
        description="The job fails after its pods have run this long in all attempts together; "
        "no limit when absent.",
    )
    grace_period_seconds: Annotated[Integer, Field(ge=5, le=3600)] = Field(
        default=120, description="Seconds that a pod has to save a checkpoint when it is told to end."
    )
    ttl_seconds_after_finished: Annotated[Integer, Field(ge=0, le=31_536_000)] | None = Field(
        default=None,
        description="Pods and their Job are deleted this long after the end; the FineTuneJob itself stays.",
    )
    divergence: DivergenceSpec | None = Field(
        default=None,
        description="When a run counts as diverged and ends. If absent, only when its loss is not a number: "
        "a loss that runs away is then a warning.",
    )
