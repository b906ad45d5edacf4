"""transformers' training loop with the guarantees of this package: the engine of every stage."""

from finetune_api.resolved import ResolvedJob
from finetune_api.result import TrainingResult
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking


class Native:
    """`training.engine: transformers`."""

    def train(
        self, job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking
    ) -> TrainingResult:
        """See `finetune_trainer.rank.train`."""
        # a rank asks for its engine, and this engine is the rank's own flow
        from finetune_trainer.rank import train

        return train(job, reporter, stop, tracking)
