"""Triton's kernels on the CPU: its own interpreter runs them, slowly, and computes what a GPU does.

In a process of its own: Triton knows from its import on whether kernels are interpreted.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api import ResolvedJob
from finetune_trainer.reporting import Reporter
from one_rank import train
from pretended_gpu import held, pretended_gpu


def train_interpreted(job: ResolvedJob, directory: Path) -> dict[str, str]:
    """Trains a job on the pretended GPU, with Triton's kernels interpreted; what ran in effect. Raises
    `CalledProcessError` where the run failed."""
    given, told = directory / "interpreted.json", directory / "effective.json"
    given.write_text(json.dumps(job.to_json_object()))
    words = [sys.executable, __file__, str(given), str(told)]
    subprocess.run(words, env={**os.environ, "TRITON_INTERPRET": "1"}, check=True)
    effective: dict[str, str] = json.loads(told.read_text())
    return effective


def main(given: Path, told: Path) -> None:
    """What the process does: `given` holds the job, and `told` gets what ran in effect."""
    complete_interpreter()
    job = ResolvedJob.from_json_object(json.loads(given.read_text()))
    reporter = Reporter([])
    with pytest.MonkeyPatch.context() as monkeypatch, pretended_gpu(monkeypatch):
        train(job, reporter)
    told.write_text(json.dumps(reporter.report.effective))


def complete_interpreter() -> None:
    """Triton 3.9's interpreter lacks two things that compiled kernels have: a number that is handed over is
    no tensor there, and CUDA's own functions are empty."""
    import triton.language as tl
    from triton.language.extra import libdevice
    from triton.runtime import interpreter

    plain = interpreter._implicit_cvt

    def converted(given: Any) -> Any:
        if not isinstance(given, float):
            return plain(given)
        return tl.tensor(interpreter.TensorHandle(np.array([given], np.float32), tl.float32), tl.float32)

    interpreter._implicit_cvt = converted
    libdevice.rsqrt = lambda x: tl.rsqrt(x)  # looked up when it is called, since the interpreter replaces it
    libdevice.tanh = lambda x: 2 * tl.sigmoid(2 * x) - 1
    # what is on the pretended GPU is in the host's memory, and is changed there
    executor: Any = interpreter.GridExecutor
    executor._init_args_hst = lambda _self, args, kwargs: (held(list(args)), held(kwargs))
    executor._restore_args_dev = lambda *_: None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
