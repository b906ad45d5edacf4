"""Condition types, reasons and phases: one constant, one meaning each.

`docs/reference/conditions.md` prints them.
"""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import Integer, StatusModel, Timestamp
from finetune_api.documented import DocumentedStr


class ConditionType(DocumentedStr):
    """Condition types; the first three are those of kstatus, for Flux, Argo CD and `helm --wait`."""

    READY = "Ready", "True once the model is trained and its output verified; never before."
    RECONCILING = "Reconciling", "True while the job makes progress, and between its attempts."
    STALLED = "Stalled", "True when the job can't go on without a change by its user, or has failed."
    ACCEPTED = "Accepted", "Whether the spec is valid; False carries every error."
    COMPLETE = "Complete", "True when the job has succeeded."
    FAILED = "Failed", "True when the job has failed for good, or was cancelled."
    SUSPENDED = "Suspended", "True when the job is suspended and its pods are gone."


class Phase(DocumentedStr):
    """One word for people and printer columns; programs read conditions."""

    PENDING = "Pending", "Accepted, or about to be; no pod is there yet."
    QUEUED = "Queued", "The child Job waits for Kueue's admission."
    STARTING = "Starting", "Pods are being scheduled, pulled and started, or load model and data."
    RUNNING = "Running", "Training steps are being done."
    SUSPENDING = "Suspending", "The ranks save a checkpoint and end."
    SUSPENDED = "Suspended", "No pods; the job goes on when `spec.suspend` is false."
    RETRYING = "Retrying", "An attempt has ended; the next one is due."
    SUCCEEDED = "Succeeded", "The output is there and was loaded once."
    CANCELLING = "Cancelling", "The ranks save a checkpoint and end, for good."
    CANCELLED = "Cancelled", "Ended because `spec.cancel` is true; no further attempt will be made."
    FAILED = "Failed", "No further attempt will be made."
    STALLED = "Stalled", "The spec can't be run as it is."


class Reason(DocumentedStr):
    """Reasons of conditions, attempts and results."""

    ACCEPTED = "Accepted", "The spec is valid."
    INVALID_SPEC = "InvalidSpec", "The spec has errors; the message names field, value, rule and remedy."
    UNKNOWN_PRESET = (
        "UnknownPreset",
        "There is no preset of the name in `spec.preset`; the job starts as soon as there is one.",
    )
    NO_NODE_FITS = (
        "NoNodeFits",
        "No node's accelerator has the memory that the job needs; it starts as soon as one has.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "An object with a child's name is there already and belongs to someone else.",
    )
    DIRECTORY_IN_USE = (
        "DirectoryInUse",
        "Another job that has not ended writes to the same directory of the same claim; the job starts when "
        "that one has ended.",
    )
    AWAITING_PODS = "AwaitingPods", "The child Job is there, its pods are not yet."
    QUEUED = "Queued", "Kueue has not admitted the child Job yet."
    PODS_REFUSED = (
        "PodsRefused",
        "The API server refuses the child Job or its pods: a quota, a policy, a webhook, or a missing "
        "ServiceAccount or PriorityClass.",
    )
    UNSCHEDULABLE = "Unschedulable", "No node can take a pod; the message is the scheduler's."
    IMAGE_PULL_FAILED = "ImagePullFailed", "A node can't pull the image."
    POD_CONFIG_ERROR = (
        "PodConfigError",
        "A container can't be made: a Secret, ConfigMap, key or volume that the spec names is missing, or "
        "the node can't prepare it.",
    )
    STARTING = "Starting", "Pods start, or load model and data."
    TRAINING = "Training", "Training steps are being done."
    RETRYING = "Retrying", "The next attempt starts after the back-off."
    RESUMING = "Resuming", "A suspended or preempted job starts its next attempt."
    SUSPENDING = "Suspending", "The ranks save a checkpoint and end, because `spec.suspend` is true."
    SUSPENDED = "Suspended", "Ended at a step boundary because `spec.suspend` is true."
    CANCELLING = "Cancelling", "The ranks save a checkpoint and end, because `spec.cancel` is true."
    CANCELLED = "Cancelled", "Ended for good because `spec.cancel` is true; what was saved is kept."
    SUCCEEDED = "Succeeded", "Trained; the output was written and loaded once."
    INVALID_CONFIG = "InvalidConfig", "The trainer refuses the settings; a retry would not help."
    DATA_ERROR = "DataError", "The data is broken or missing; the message names file, line and what is wrong."
    OUT_OF_MEMORY = "OutOfMemory", "A device or a pod ran out of memory."
    DIVERGED = "Diverged", "The loss is not a number, or above the limits of `failurePolicy.divergence`."
    STORAGE_ERROR = "StorageError", "Checkpoints or output can't be written or read."
    MODEL_LOAD_FAILED = "ModelLoadFailed", "The model or its tokenizer can't be loaded."
    OUTPUT_INVALID = "OutputInvalid", "The output was written but can't be loaded again."
    PREEMPTED = "Preempted", "The pods were evicted or preempted; this uses up no retry."
    NODE_LOST = "NodeLost", "A node went away with its pod; this uses up no retry."
    INTERRUPTED = "Interrupted", "The ranks were told to end and saved a checkpoint first."
    PEER_LOST = "PeerLost", "Another rank went away; the reason of that rank tells why."
    TRAINER_CRASHED = "TrainerCrashed", "A rank ended for a reason that has no name of its own."
    STALLED = "Stalled", "No progress within `failurePolicy.stallTimeoutSeconds`."
    RETRIES_EXHAUSTED = (
        "RetriesExhausted",
        "`failurePolicy.maxRetries` is used up; the message has the last failure.",
    )
    DEADLINE_EXCEEDED = "DeadlineExceeded", "`failurePolicy.activeDeadlineSeconds` has passed."
    BUDGET_EXCEEDED = "BudgetExceeded", "A limit of `spec.budget` is reached."


class Condition(StatusModel):
    """One aspect of the job's state, in the form of metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)] = Field(description="Aspect of the state.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Annotated[Integer, Field(ge=0)] = Field(
        default=0, description="metadata.generation that this was decided for."
    )
    last_transition_time: Timestamp = Field(description="When status last changed.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Constant in CamelCase that says why; see the reference of reasons."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(
        default="", description="For people: what happened, and what to do about it."
    )
