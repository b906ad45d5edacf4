"""How an attempt ended: exit codes, and the result that the trainer leaves in its termination message."""

import json
from enum import IntEnum
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from finetune_api.base import Count, Integer, StatusModel
from finetune_api.conditions import Reason
from finetune_api.status import (
    CheckpointRef,
    CheckpointsStatus,
    EvaluationStatus,
    HubStatus,
    MetricMap,
    OutputStatus,
)

__all__ = ["TERMINATION_MESSAGE_BYTES", "CheckpointRef", "ExitCode", "TrainingResult"]

TERMINATION_MESSAGE_BYTES: Final = 4096
"""What kubelet keeps of a container's termination message."""

_CUT: Final = " …"


class ExitCode(IntEnum):
    """Exit status of a trainer process, what it means, and whether trying again can help."""

    meaning: str
    reason: Reason
    retryable: bool

    def __new__(cls, value: int, reason: Reason, retryable: bool, meaning: str) -> "ExitCode":
        member = int.__new__(cls, value)
        member._value_ = value
        member.reason = reason
        member.retryable = retryable
        member.meaning = meaning
        return member

    SUCCEEDED = 0, Reason.SUCCEEDED, False, "Trained; the output was loaded once."
    CRASHED = 1, Reason.TRAINER_CRASHED, True, "An error without a code of its own."
    INVALID_CONFIG = 10, Reason.INVALID_CONFIG, False, "The settings can't work together or with this model."
    DATA_ERROR = 11, Reason.DATA_ERROR, False, "The data is broken or missing."
    OUT_OF_MEMORY = 12, Reason.OUT_OF_MEMORY, False, "Out of memory; failurePolicy.outOfMemory decides."
    DIVERGED = 13, Reason.DIVERGED, False, "The loss is not a number or too high."
    STORAGE_ERROR = 14, Reason.STORAGE_ERROR, True, "Checkpoints or output can't be written or read."
    MODEL_LOAD_FAILED = 15, Reason.MODEL_LOAD_FAILED, False, "The model or its tokenizer can't be loaded."
    OUTPUT_INVALID = 16, Reason.OUTPUT_INVALID, False, "The output can't be loaded again."
    INTERRUPTED = 20, Reason.INTERRUPTED, True, "Told to end; a checkpoint was saved. Uses up no retry."
    PEER_LOST = 21, Reason.PEER_LOST, True, "Another rank went away; that rank's reason counts."


class TrainingResult(StatusModel):
    """The end of an attempt as the trainer knows it; the termination message holds it as JSON."""

    outcome: Literal["succeeded", "failed", "interrupted"] = Field(description="How the attempt ended.")
    reason: Annotated[Reason, Field(strict=False)] = Field(description="Why.")
    message: Annotated[str, Field(max_length=32768)] = Field(
        default="", description="For people: what happened, where, and what to change."
    )
    exit_code: Annotated[Integer, Field(ge=0, le=255)] = Field(description="Exit status of the process.")
    step: Count = Field(default=0, description="Last optimizer step that was done.")
    total_steps: Count | None = Field(
        default=None, description="Optimizer steps of the whole run, once known."
    )
    resumed_step: Count | None = Field(
        default=None,
        description="Step of the checkpoint that the attempt started from; none: from the start.",
    )
    metrics: MetricMap = Field(default={}, description="Last values, as decimal strings.")
    checkpoints: CheckpointsStatus | None = Field(default=None, description="Latest and best checkpoint.")
    output: OutputStatus | None = Field(default=None, description="What was written, where.")
    hub: HubStatus | None = Field(default=None, description="What is on the Hugging Face hub.")
    evaluation: EvaluationStatus | None = Field(default=None, description="Benchmarks and sample answers.")

    def to_termination_message(self) -> str:
        """JSON of at most 4096 bytes in UTF-8; sample answers go first, then benchmarks, then the message is
        cut, then metrics are left out."""
        short = self.evaluation and self.evaluation.model_copy(update={"generations": []})
        without = {"evaluation": None}
        for result in (self, self.model_copy(update={"evaluation": short})):
            if (text := result._encoded(self.message)) is not None:
                return text
        for result in (self.model_copy(update=without), self.model_copy(update=without | {"metrics": {}})):
            text = result._fitted()
            if text is not None:
                return text
        bare = TrainingResult(
            outcome=self.outcome,
            reason=self.reason,
            message=self.message,
            exit_code=self.exit_code,
            step=self.step,
        )
        text = bare._fitted()
        if text is None:
            raise AssertionError("a result without details fits into any termination message")
        return text

    def _fitted(self) -> str | None:
        low, high = 0, len(self.message)
        if (text := self._encoded(self.message)) is not None:
            return text
        if self._encoded(_CUT) is None:
            return None
        while low < high:
            middle = (low + high + 1) // 2
            if self._encoded(self.message[:middle] + _CUT) is None:
                high = middle - 1
            else:
                low = middle
        return self._encoded(self.message[:low] + _CUT)

    def _encoded(self, message: str) -> str | None:
        data = self.model_copy(update={"message": message}).to_json_object()
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return text if len(text.encode("utf-8", "replace")) <= TERMINATION_MESSAGE_BYTES else None

    @classmethod
    def from_termination_message(cls, text: str | None) -> "TrainingResult | None":
        """The result in a termination message; None when there is none (own command, killed process)."""
        if not text:
            return None
        try:
            return cls.model_validate_json(text, by_alias=True, by_name=False)
        except ValidationError:
            return None
