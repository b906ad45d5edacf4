"""Our trainer as a contestant: a whole run of the product, which waits after every block of steps."""

import json
from multiprocessing.connection import Connection
from pathlib import Path

from trainer_bench.scenarios import Scenario
from trainer_bench.turns import Turns
from trainer_bench.workload import make_job


def main(
    parent: Connection, scenario: Scenario, model: Path, data: Path, work: Path, rounds: int, steps: int
) -> None:
    """Trains; the run's own report, metrics and guards are on, as always."""
    from finetune_trainer import assembly
    from finetune_trainer.engines import native
    from finetune_trainer.interruption import StopRequest
    from finetune_trainer.reporting import FileSink, Reporter
    from finetune_trainer.training import trainer

    def losses() -> list[float]:
        lines = (work / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["loss"] for line in lines]

    turns = Turns(parent, rounds, steps, losses)
    job = make_job(scenario.spec(model, data, turns.last_step + 1), work)

    class Waiting(StopRequest):
        """The run asks it once after each step whether it is to stop."""

        @property
        def requested(self) -> bool:
            turns.step_done()
            return False

        @requested.setter
        def requested(self, _value: bool) -> None: ...

        def check(self) -> None: ...

    class Watched(trainer.FineTuneTrainer):
        def __init__(self, **kwargs: object) -> None:
            super().__init__(**kwargs)
            rows = self.train_dataset
            turns.tokens_in = lambda step: rows.tokens_in(self.order.step(step))

    assembly.FineTuneTrainer = Watched
    native.train(job, Reporter([FileSink(work / "reports.jsonl")]), Waiting())
