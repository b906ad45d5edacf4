"""The examples of each stage run as they are, and what they optimise improves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
import yaml

from finetune_api import parse_job, resolve
from finetune_trainer.engines import native
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from stage_runs import curve

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Each test is a rank of its own."""
    monkeypatch.setenv("FINETUNE_TERMINATION_MESSAGE", str(tmp_path / "message"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("example", "measured"),
    [("reward-model", "rewardMargin"), ("kto-labels", "rewardChosen"), ("grpo-rewards", "reward")],
)
def test_what_the_stage_optimises_rises(example: str, measured: str, tmp_path: Path) -> None:
    config_map, manifest = yaml.safe_load_all((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8"))
    ((name, text),) = config_map["data"].items()
    (tmp_path / name).write_text(text, encoding="utf-8")
    manifest["spec"]["dataset"]["train"] = {"path": str(tmp_path / name)}
    job = resolve(
        parse_job(manifest), 1, run_directory=str(tmp_path), master_address="127.0.0.1", device="cpu"
    )
    result = native.train(job, Reporter([]), StopRequest())
    assert result.output is not None
    assert result.output.verified
    rewards = curve(job, measured)
    assert rewards[20] > rewards[1]


def test_finetune_run_trains_on_preferences(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "finetune_cli", "run", str(EXAMPLES / "dpo-preferences.yaml")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    status = yaml.safe_load(done.stdout)
    assert status["output"]["verified"] is True
    assert float(status["metrics"]["rewardAccuracy"]) == 1
    (file,) = tmp_path.rglob("metrics.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[-1]["rewardMargin"] > lines[0]["rewardMargin"]
