"""How long `finetune --help` and `finetune validate` take, as a multiple of `python -c pass`.

Medians of several runs, one warm-up before them. Byte code is kept in a directory of its own, as an installed
package has it. Run it on a quiet machine: `make bench-cli`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples/gpu-lora-8b.yaml"
LIMIT_SECONDS = 0.3

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "finetune --help": ["-m", "finetune_cli", "--help"],
    "finetune validate FILE": ["-m", "finetune_cli", "validate", str(MANIFEST)],
}


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Wall-clock seconds of one run; raises `CalledProcessError` if it fails."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    """Print the table; exit status 1 if a command takes longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="finetune-bench-") as byte_code:
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        } | {"PYTHONPYCACHEPREFIX": byte_code}
        for arguments in COMMANDS.values():
            seconds(arguments, environment)
        medians = {
            name: statistics.median(seconds(arguments, environment) for _ in range(runs))
            for name, arguments in COMMANDS.items()
        }
    unit = medians["python -c pass"]
    print(f"{'command':24}  {'median':>8}  ratio to python -c pass ({runs} runs)")
    for name, median in medians.items():
        print(f"{name:24}  {median * 1000:5.0f} ms  {median / unit:5.1f}")
    return 0 if all(median < LIMIT_SECONDS for median in medians.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
