"""Ranks wait for the tokens of another one, however long that takes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import ResolvedJob

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow

COLLECTIVE_SECONDS = 10
"""The shortest timeout of the process group that the API takes."""

SECONDS = 300.0


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)


def test_tokenising_for_longer_than_the_collective_s_timeout_does_not_end_the_ranks(
    make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(
        {
            "distributed": {"processesPerNode": 2, "timeoutSeconds": COLLECTIVE_SECONDS},
            "training": {"gradientAccumulationSteps": 1, "maxSteps": 1},
        }
    )
    file, log = tmp_path / "job.json", tmp_path / "log"
    file.write_text(json.dumps(job.to_json_object()))
    lock = Path(job.paths.run_directory) / "data" / "lock"
    lock.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "finetune_trainer", "launch", "--job", str(file)]
    with lock.open("w") as held, log.open("wb") as out:
        # this process stands for a rank that is busy tokenising
        fcntl.flock(held, fcntl.LOCK_EX)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, start_new_session=True
        ) as process:
            try:
                wait_until(lambda: log.read_text().count("waiting for another process") == 2, process, log)
                since = time.monotonic()
                wait_until(lambda: time.monotonic() - since > COLLECTIVE_SECONDS + 1, process, log)
                fcntl.flock(held, fcntl.LOCK_UN)
                assert process.wait(SECONDS) == 0, log.read_text()[-4000:]
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
    # one rank tokenised, the other took what was there
    assert log.read_text().count("tokens of an earlier rank or attempt are used") == 1
