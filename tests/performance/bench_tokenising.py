"""Tokenising on all cores against one process, in turns: `preprocessing.workers`.

    python tests/performance/bench_tokenising.py                # keep the machine quiet meanwhile

Exit status 1 when the cores together are not at least 0.7 times their number as fast as one.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from trainer_bench.workload import make_job, make_model, write_records

LEAST_PER_CORE = 0.7
RECORDS = 20_000


def main() -> int:
    """Prints both times and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="finetune-bench-") as directory:
        seconds = measure(Path(directory), cores, options.rounds)
    alone, together = median(seconds[1]), median(seconds[cores])
    ratio, least = alone / together, LEAST_PER_CORE * cores
    print(
        f"{RECORDS} records: {alone:.2f} s in one process, {together:.2f} s in {cores}: {ratio:.2f} times as "
        f"fast (target >= {least:.2f})"
    )
    return 0 if ratio >= least else 1


def measure(work: Path, cores: int, rounds: int) -> dict[int, list[float]]:
    """Seconds for all records, by the number of processes."""
    from finetune_trainer.data.loading import load_examples
    from finetune_trainer.data.preparation import renderer_for
    from finetune_trainer.data.workers import render_each
    from finetune_trainer.tokenizers import complete_tokenizer, load_tokenizer

    model = make_model(work / "model")
    data = write_records(work / "train.jsonl", "log-normal", RECORDS)
    spec = make_job(
        {
            "model": {"path": str(model)},
            "method": {"type": "full"},
            "dataset": {"format": "alpaca", "train": {"path": str(data)}},
            "training": {"maxSequenceLength": 1024},
        },
        work / "run",
    ).spec
    tokenizer = complete_tokenizer(
        load_tokenizer(spec.model, base=str(model), revision=None), spec.model, use_chat_template=True
    )
    renderer = renderer_for(spec, tokenizer)
    examples = load_examples(spec.dataset, spec.dataset.train, str(data))
    seconds: dict[int, list[float]] = {1: [], cores: []}
    for number in range(rounds):
        for workers in (1, cores) if number % 2 else (cores, 1):
            begun = time.perf_counter()
            count = sum(1 for _ in render_each(examples, renderer, workers))
            seconds[workers].append(time.perf_counter() - begun)
            assert count == RECORDS
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
