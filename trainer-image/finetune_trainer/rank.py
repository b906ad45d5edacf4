"""One rank from start to end: the engine of its job, and what it leaves however that ends."""

import logging
from pathlib import Path

from finetune_api.resolved import ResolvedJob
from finetune_trainer import results
from finetune_trainer.distributed import rank
from finetune_trainer.engines import engine_for
from finetune_trainer.errors import TrainerError, classify
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter, sinks
from finetune_trainer.tracking.fanout import Tracking

log = logging.getLogger(__name__)


def run(job: ResolvedJob) -> int:
    """Trains as one rank, leaves a result (rank 0, and any rank that fails), returns the exit status."""
    first = rank() == 0
    reporter = Reporter(sinks() if first else [])
    tracking = Tracking(reporter)
    stop = StopRequest()
    stop.listen()
    try:
        result = engine_for(job.spec.training).train(job, reporter, stop, tracking)
    except Exception as error:
        known = classify(error, ranks=job.world_size, volume=Path(job.paths.run_directory))
        if type(known) is TrainerError or known is not error:
            log.error("%s", known, exc_info=error)
        else:
            log.error("%s: %s", known.exit_code.reason, known)
        result = results.failure(known, reporter)
    if first or result.outcome != "succeeded":
        results.write_result(result, results.termination_message_file())
    tracking.finish(result)
    reporter.update(result=result, step=result.step, urgent=True)
    reporter.close()
    return result.exit_code
