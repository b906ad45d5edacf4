"""Tokenising on all cores against one, in turns: `preprocessing.workers`. One process, in which only the
tokenizer's own threads use all cores, is shown beside them.

    python tests/performance/bench_tokenising.py                # keep the machine quiet meanwhile

Exit status 1 when the cores together are not at least 0.7 times their number as fast as one of them.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

from trainer_bench.options import rounds_asked
from trainer_bench.workload import make_job, make_model, write_records

LEAST_PER_CORE = 0.7
RECORDS = 20_000


def main() -> int:
    """Prints both times and their ratio."""
    rounds = rounds_asked(__doc__)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="finetune-bench-") as directory:
        seconds = measure(Path(directory), cores, rounds)
    alone, threads, together = (median(seconds[way]) for way in ("one core", "one process", "all"))
    ratio, least = alone / together, LEAST_PER_CORE * cores
    print(
        f"{RECORDS} records: {alone:.2f} s on one core, {threads:.2f} s in one process on {cores}, "
        f"{together:.2f} s in {cores} processes: {ratio:.2f} times as fast as on one (target >= {least:.2f})"
    )
    return 0 if ratio >= least else 1


def measure(work: Path, cores: int, rounds: int) -> dict[str, list[float]]:
    """Seconds for all records, by the way they are tokenised."""
    from finetune_trainer.data.loading import load_examples
    from finetune_trainer.data.preparation import renderer_for
    from finetune_trainer.data.workers import render_each
    from finetune_trainer.model.tokenizers import complete_tokenizer, load_tokenizer

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
    ways = {"one core": (1, "false"), "one process": (1, "true"), "all": (cores, "true")}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in sorted(ways, reverse=number % 2 == 0):
            workers, os.environ["TOKENIZERS_PARALLELISM"] = ways[way]
            begun = time.perf_counter()
            count = sum(1 for _ in render_each(examples, renderer, workers))
            seconds[way].append(time.perf_counter() - begun)
            assert count == RECORDS
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
