"""What holds on the GPUs of this machine: one page.

    make test-gpu                               # everything
    make test-gpu ARGS="--only paged fp16"      # what has one of these words in its name
    make test-gpu ARGS=--cpu                    # tries this program itself, with what a CPU can do too

Each line is a whole run of the trainer as a process of its own: a small model is trained for four steps,
evaluated, saved, loaded again and compared. Exit status 1 where one fails, 2 where there is no GPU: then
nothing was checked.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_cases import BASE, CASES, Case, write_inputs

from finetune_api import ResolvedJob, TrainingResult, parse_job, resolve
from finetune_api.validation import validate_job
from runs import log_in, losses, write_job

LIMIT = 240.0
"""Seconds for one run; the first one on a machine compiles what DeepSpeed needs."""

CLOSE = 0.05
"""How far the last loss may be from that of the first case, as a share of it: the same model learns the same
records, in other arithmetic."""


@dataclass(frozen=True)
class Seen:
    """What came of one run."""

    job: ResolvedJob
    trouble: str | None
    """In the trainer's words; None where it succeeded."""

    @property
    def last_loss(self) -> float:
        return losses(self.job)[-1][1]


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose name contains one of these")
    parser.add_argument("--cpu", action="store_true", help="on the CPU")
    options = parser.parse_args()
    gpus = 0 if options.cpu else count_gpus()
    if not gpus and not options.cpu:
        print("NO GPU IS SEEN BY PYTORCH HERE: NOTHING WAS CHECKED", file=sys.stderr)
        return 2
    chosen = [case for case in CASES if any(word in case.name for word in options.only)]
    with tempfile.TemporaryDirectory() as directory:
        write_inputs(Path(directory))
        return check(chosen, gpus, Path(directory))


def check(cases: list[Case], gpus: int, directory: Path) -> int:
    """Prints a line per case. Returns the exit status."""
    reference: float | None = None
    failed = 0
    for number, case in enumerate(cases):
        if reason := cannot(case, gpus, directory):
            print(f"-      {case.name}: {reason}", flush=True)
            continue
        begun = time.monotonic()
        seen = run(case, gpus, directory / str(number))
        trouble = seen.trouble
        if trouble is None and case.learns_alike:
            reference = reference or seen.last_loss
            if abs(seen.last_loss / reference - 1) > CLOSE:
                trouble = f"the last loss is {seen.last_loss:.3f}, and was {reference:.3f} at first"
        failed += trouble is not None
        word, told = ("FAILS ", trouble) if trouble else ("holds ", f"loss {seen.last_loss:.3f}")
        print(f"{word} {case.name} ({time.monotonic() - begun:.0f} s): {told}", flush=True)
    print(f"{failed} of {len(cases)} fail" if failed else "all of it holds")
    return int(failed > 0)


def cannot(case: Case, gpus: int, data: Path) -> str | None:
    """Why a case is none for this machine."""
    if case.ranks > max(gpus, 1):
        return f"needs {case.ranks} GPUs"
    if case.needs is not None and (missing := case.needs()):
        return missing
    job = parse_job(manifest(case, gpus, data))
    errors = [str(finding) for finding in validate_job(job, target="local") if finding.severity == "error"]
    return f"not on this machine: {errors[0]}" if errors else None


def run(case: Case, gpus: int, directory: Path) -> Seen:
    """One case, and for one that is resumed a second attempt without its last checkpoint."""
    whole = launch(case, gpus, directory, attempt=1)
    if whole.trouble or not case.resumes:
        return whole
    before = dict(losses(whole.job))
    newest = max((Path(whole.job.paths.run_directory) / "checkpoints").glob("step-*"))
    shutil.rmtree(newest)
    again = launch(case, gpus, directory, attempt=2)
    if again.trouble is None and dict(losses(again.job)) != before:
        return Seen(again.job, f"a resumed run has the losses {losses(again.job)}, not {before}")
    return again


def launch(case: Case, gpus: int, directory: Path, attempt: int) -> Seen:
    """A run as its pod starts it."""
    job = resolve(
        parse_job(manifest(case, gpus, directory.parent)),
        attempt,
        run_directory=str(directory / "run"),
        master_address="127.0.0.1",
        device="cuda" if gpus else "cpu",
    )
    file = write_job(job, directory)
    message = directory / "message"
    environment = os.environ | {"FINETUNE_TERMINATION_MESSAGE": str(message), "JOB_COMPLETION_INDEX": "0"}
    command = [sys.executable, "-m", "finetune_trainer", "launch", "--job", str(file)]
    with (directory / "log").open("w") as log:
        try:
            subprocess.run(command, env=environment, stdout=log, stderr=log, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return Seen(job, f"has not ended within {LIMIT:.0f} s")
    result = TrainingResult.from_termination_message(message.read_text() if message.exists() else None)
    if result is None:
        return Seen(job, f"left no result:\n{log_in(directory)}")
    return Seen(job, None if result.outcome == "succeeded" else f"{result.reason}: {result.message}")


def manifest(case: Case, gpus: int, data: Path) -> dict[str, Any]:
    """A case as a job on the data in a directory."""
    spec = {section: dict(settings) for section, settings in BASE.items()}
    for section, settings in case.spec.items():
        spec[section] = spec.get(section, {}) | settings
    records = spec["dataset"]["train"]["path"]
    spec["dataset"]["train"] = {"path": str(data / records)}
    spec["model"]["path"] = str(data / spec["model"]["path"])
    spec["resources"] = {"accelerators": {"perNode": case.ranks if gpus else 0}}
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "gpu"},
        "spec": spec,
    }


def count_gpus() -> int:
    """In a process of its own: what asks CUDA here can't be forked any more."""
    asked = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
