"""What the process of a rank does before and after its run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import ResolvedJob
from finetune_trainer import rank
from finetune_trainer.__main__ import main


def test_a_failure_has_its_exit_status_whatever_libraries_do_at_exit() -> None:
    program = (
        "import atexit, os; from finetune_trainer.__main__ import end; atexit.register(os.abort); end(12)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 12


@pytest.mark.parametrize(("device", "sees"), [("cpu", ""), ("cuda", "0,1")])
def test_a_job_on_cpu_sees_no_gpu_of_its_machine(
    make_job: Callable[..., ResolvedJob],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    sees: str,
) -> None:
    file = tmp_path / "job.json"
    file.write_text(make_job().model_copy(update={"device": device}).model_dump_json(by_alias=True))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(rank, "run", lambda _job: 0)
    assert main(["launch", "--job", str(file)]) == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == sees
