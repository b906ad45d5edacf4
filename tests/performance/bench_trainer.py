"""The trainer against TRL's SFTTrainer and the bare libraries: ratios, taken in one run, in turns.

    make bench-trainer                          # everything; keep the machine quiet meanwhile
    python tests/performance/bench_trainer.py --only packed --rounds 5

Prints a table, and with --json FILE writes all numbers. Exit status 1 when a target is missed.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

from trainer_bench import overhead, start
from trainer_bench.overhead import Overhead
from trainer_bench.scenarios import SCENARIOS
from trainer_bench.start import Start
from trainer_bench.throughput import HEADER, Comparison, compare
from trainer_bench.turns import PROCESSES
from trainer_bench.workload import make_model


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="scenarios whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of a block")
    parser.add_argument(
        "--part", choices=("throughput", "overhead", "start"), action="append", help="all when absent"
    )
    parser.add_argument("--json", type=Path, help="where the numbers go too")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    os.environ |= {"PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    load = os.getloadavg()[0]
    print(
        f"{len(os.sched_getaffinity(0))} cores, {os.environ['OMP_NUM_THREADS']} threads each, load {load:.1f}"
    )
    parts = options.part or ["throughput", "overhead", "start"]
    found: list[Comparison] = []
    overheads: list[Overhead] = []
    starts: list[Start] = []
    with tempfile.TemporaryDirectory(prefix="finetune-bench-") as directory:
        model = Path(directory) / "model"
        maker = PROCESSES.Process(target=make_model, args=(model,))
        maker.start()
        maker.join()
        if "throughput" in parts:
            print(HEADER, flush=True)
            for scenario in SCENARIOS:
                if any(part in scenario.name for part in options.only):
                    with tempfile.TemporaryDirectory(dir=directory) as work:
                        found.append(compare(scenario, model, Path(work), options.rounds, options.steps))
                    print(found[-1].row(), flush=True)
        if "overhead" in parts:
            with tempfile.TemporaryDirectory(dir=directory) as work:
                overheads.append(overhead.measure(model, Path(work)))
            print(overheads[-1].row(), flush=True)
        if "start" in parts:
            with tempfile.TemporaryDirectory(dir=directory) as work:
                starts.append(start.measure(model, Path(work), options.rounds))
            print(starts[-1].row(), flush=True)
    measured = [*found, *overheads, *starts]
    if options.json:
        numbers = {
            "load": load,
            "throughput": [comparison.to_json() for comparison in found],
            "overhead": [one.to_json() for one in overheads],
            "start": [one.to_json() for one in starts],
        }
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0 if all(one.holds for one in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
