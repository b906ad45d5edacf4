"""Whether a run is what it would have been without interruptions; where it is not, it says so to its end."""

from dataclasses import dataclass
from typing import Final

from finetune_api.resolved import ResolvedJob
from finetune_trainer.checkpoints.manifest import library_versions
from finetune_trainer.checkpoints.store import Checkpoint
from finetune_trainer.checkpoints.universal import Layout
from finetune_trainer.data.fingerprint import Fingerprint

LONGEST: Final = 256
"""Characters that a value of `status.effective` may have."""


@dataclass(frozen=True)
class Exactness:
    """Of a run from its start to this attempt."""

    now: str | None = None
    """Why this attempt does not go on exactly; None where it does, or begins."""
    before: tuple[str, ...] = ()
    """The same of the attempts that the weights come from."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Of all attempts so far, the oldest first; empty for a run that is exact. Its checkpoints keep
        them."""
        return self.before if self.now is None else (*self.before, self.now)

    def effective(self, resumed_step: int | None) -> dict[str, str]:
        """What `status.effective` says of it; nothing for a run that is exact."""
        if not self.reasons:
            return {}
        earlier = f"before that: {'; '.join(self.before)}"
        if self.now is None:
            return {"resume": _cut(f"from step {resumed_step}; approximate {earlier}")}
        return {"resume": _cut(f"approximate: {self.now}{'; ' + earlier if self.before else ''}")}

    @property
    def last_word(self) -> str | None:
        """For the message of a run that succeeded; None for one that is exact."""
        return f"the run is approximate: {'; '.join(self.reasons)}" if self.reasons else None


def exactness(checkpoint: Checkpoint | None, job: ResolvedJob, data: Fingerprint | None) -> Exactness:
    """Of an attempt that goes on from a checkpoint.

    `data` is this attempt's. What it, or the checkpoint, does not know is taken to be the same.
    """
    if checkpoint is None:
        return Exactness()
    reasons = []
    written, step = checkpoint.manifest, checkpoint.step
    if (layout := Layout.of(written)) != Layout.wanted(job):
        reasons.append(f"step {step} was written by {layout}")
    if written.device is not None and written.device != job.device:
        reasons.append(f"step {step} was computed on {written.device}, this attempt is on {job.device}")
    size = job.spec.training.sequences_per_pass
    if written.micro_batch is not None and written.micro_batch != size:
        reasons.append(
            f"micro-batches up to step {step} were of {written.micro_batch}, and are of {size} now"
        )
    versions = library_versions()
    others = [
        f"{name} {version}"
        for name, version in written.libraries.items()
        if versions.get(name, version) != version
    ]
    if others:
        reasons.append(f"step {step} was computed with {', '.join(others)}")
    if written.data is None or data is None or written.data == data:
        # another numpy may draw another order
        if reasons and not any(other.startswith("numpy ") for other in others):
            reasons.append("same order of data")
    else:
        reasons.append(
            f"the training data is not what it was at step {step} ({written.data} then; {data} now)"
        )
    return Exactness("; ".join(reasons) or None, written.approximate)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"
