"""Train on this machine, without a cluster, from the same manifest; print the status that the cluster would
show.

The operator's own rules decide what happens: retries, back-off, resuming from the newest checkpoint. The
directory ./volumes/NAME stands for a claim NAME unless --volume names another, and likewise for a ConfigMap
or Secret that is not in the file.

Ctrl-C saves a checkpoint and ends the run; the same command continues it. A second Ctrl-C ends it at once.

exit status:
  0   trained           2   usage error     12  out of memory
  10  invalid settings  11  broken data     15  the model can't be loaded
  13  diverged          14  storage failed  16  the output can't be loaded
  20  interrupted, a checkpoint is saved    1   anything else
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finetune_cli.local.job import add_job_arguments, job_here

if TYPE_CHECKING:
    from finetune_api import FineTuneJob, FineTuneJobStatus
    from finetune_cli.local.runner import Outcome

_LOG_TAIL_LINES: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune run`."""
    add_job_arguments(parser)
    parser.add_argument(
        "-o", "--output", choices=("yaml", "json"), default="yaml", help="how the final status is printed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the job and print its status. Returns the exit status that the module's text lists."""
    from finetune_api import ExitCode
    from finetune_cli.local.display import display_for
    from finetune_cli.local.runner import Runner

    with job_here(arguments, creates_claims=True) as here:
        display = display_for(sys.stderr)
        try:
            outcome = Runner(here.job, here.mounts, display, here.scratch).run()
        finally:
            display.close()
        if outcome.exit_code == ExitCode.INTERRUPTED:
            print("Interrupted; the same command continues from the newest checkpoint.", file=sys.stderr)
        elif outcome.exit_code != ExitCode.SUCCEEDED:
            _print_logs(outcome.logs)
    _print_status(outcome, arguments.output)
    if outcome.exit_code == ExitCode.SUCCEEDED and (command := _next_command(here.job, outcome.status)):
        print(f"Next: {command}", file=sys.stderr)
    return outcome.exit_code


def _next_command(job: "FineTuneJob", status: "FineTuneJobStatus") -> str | None:
    """What tries the result; None where there is nothing that answers prompts, as a reward model."""
    if status.output is None or job.spec.training.stage == "rm":
        return None
    return f"finetune generate --model {shlex.quote(status.output.path)}"


def _print_logs(logs: Sequence[Path]) -> None:
    from finetune_cli.terminal import log_line

    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for log in logs:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[-_LOG_TAIL_LINES:]:
            print(log_line(f"{log.stem}: {line}", colours=colours), file=sys.stderr)


def _print_status(outcome: "Outcome", output: str) -> None:
    from finetune_cli import json_writer
    from finetune_cli.yaml_writer import dump

    status = outcome.status.to_json_object()
    if output == "json":
        print(json_writer.dump(status))
    else:
        print(dump(status), end="")
