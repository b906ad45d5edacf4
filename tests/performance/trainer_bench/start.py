"""From nothing to the end of the first step: our trainer against a script that asks TRL for the same."""

import json
import os
import time
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from trainer_bench.scenarios import Scenario
from trainer_bench.workload import make_job, write_records

MOST = 1.2
SCENARIO = Scenario("start", "log-normal", 8)


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process, imports and tokenising included; medians."""

    records: int
    seconds: float
    bare_seconds: float

    @property
    def ratio(self) -> float:
        """Ours over the bare library's."""
        return self.seconds / self.bare_seconds

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.ratio <= MOST

    def row(self) -> str:
        """For people."""
        return (
            f"start to first step, {self.records} records: {self.seconds:.1f} s, TRL alone "
            f"{self.bare_seconds:.1f} s: {self.ratio:.2f} (target <= {MOST})"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"ratio": self.ratio, "holds": self.holds}


def measure(model: Path, work: Path, rounds: int) -> Start:
    """Each in turns, every time with nothing cached."""
    data = write_records(work / "train.jsonl", SCENARIO.lengths, SCENARIO.records)
    seconds: dict[Any, list[float]] = {ours: [], bare: []}
    for number in range(rounds):
        for main in (ours, bare) if number % 2 else (bare, ours):
            directory = work / f"{main.__name__}-{number}"
            directory.mkdir()
            seconds[main].append(first_step(main, model, data, directory))
    return Start(SCENARIO.records, median(seconds[ours]), median(seconds[bare]))


def first_step(main: Any, *arguments: Path) -> float:
    """Seconds until a new process has done one step."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=main, args=(there, *arguments))
    begun = time.perf_counter()
    process.start()
    there.close()
    here.recv()
    seconds = time.perf_counter() - begun
    process.kill()
    process.join()
    return seconds


def ours(parent: Connection, model: Path, data: Path, work: Path) -> None:
    """The product, from the resolved job on."""
    from finetune_trainer.engines import native
    from finetune_trainer.interruption import StopRequest
    from finetune_trainer.reporting import FileSink, Reporter

    class Telling(StopRequest):
        """The run asks it after each step whether it is to stop."""

        @property
        def requested(self) -> bool:
            parent.send("done")
            return False

        @requested.setter
        def requested(self, _value: bool) -> None: ...

        def check(self) -> None: ...

    job = make_job(SCENARIO.spec(model, data, 100), work)
    native.train(job, Reporter([FileSink(work / "reports.jsonl")]), Telling())


def bare(parent: Connection, model: Path, data: Path, work: Path) -> None:
    """What one writes with TRL alone: read, tokenise conversations on all cores, train."""
    import datasets
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from finetune_trainer.model.tokenizers import CHATML

    datasets.disable_progress_bars()
    datasets.config.HF_DATASETS_CACHE = work / "cache"

    class Telling(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            parent.send("done")

    with data.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    rows = [
        {
            "messages": [
                {"role": "user", "content": record["instruction"]},
                {"role": "assistant", "content": record["output"]},
            ]
        }
        for record in records
    ]
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = CHATML
    arguments = SFTConfig(
        output_dir=str(work / "trl"),
        max_steps=100,
        per_device_train_batch_size=SCENARIO.micro_batch,
        max_length=1024,
        assistant_only_loss=True,
        dataset_num_proc=len(os.sched_getaffinity(0)),
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=str(model),
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(rows),
        callbacks=[Telling()],
        args=arguments,
    )
    trainer.train()
