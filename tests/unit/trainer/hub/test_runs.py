"""What whole runs push while training goes on is a model that loads, whatever their checkpoints hold."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fake_hub import FakeHub
from finetune_api import ResolvedJob
from finetune_trainer.reporting import Reporter
from one_rank import train

MakeJob = Callable[..., ResolvedJob]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # huggingface_hub 2.4 sends files in a way that its HTTP client no longer likes
        "ignore:Use 'content=:DeprecationWarning",
    ),
]

IDS = torch.arange(40).unsqueeze(0)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


def loaded(directory: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory)


def pushed_at_step_2(make_job: MakeJob, hub: FakeHub, directory: Path, spec: dict[str, Any]) -> ResolvedJob:
    """Runs a job whose hub takes the first checkpoint and nothing more; writes down what the hub then has."""
    hub.fail = lambda _method, _path: 503 if hub.commits else None
    target = {"id": "me/model", "strategy": "everySave", "tokenSecret": {"name": "hub", "key": "token"}}
    job = make_job(spec | {"output": {"hub": target}})
    result = train(job)
    assert result.outcome == "succeeded"
    assert result.hub is not None
    assert not result.hub.complete
    directory.mkdir()
    for name, data in hub.branches["me/model", "main"].items():
        (directory / name).write_bytes(data)
    return job


def test_the_token_is_in_no_file_report_or_log_of_a_run(
    make_job: MakeJob, hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.fail = lambda method, _path: 507 if method == "PUT" else None
    target = {"id": "me/model", "strategy": "checkpoint", "tokenSecret": {"name": "hub", "key": "token"}}
    job = make_job({"output": {"hub": target, "modelCard": True}})
    reporter = Reporter([])
    result = train(job, reporter)
    assert hub.repositories["me/model"]["visibility"] == "private"
    assert "upload/" in (result.hub.message or "" if result.hub else "")
    (told,) = reporter.report.warnings
    assert "the checkpoint of step" in told
    said = [caplog.text, result.model_dump_json(), reporter.report.model_dump_json()]
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for each in (*written, *(text.encode() for text in said)):
        assert b"hub-token" not in each
    for each in (*written, *(text.encode() for text in said[1:])):
        assert b"signed-secret" not in each


def test_an_adapter_that_started_as_a_part_of_the_base_goes_up_for_the_whole_base(
    make_job: MakeJob, hub: FakeHub, tmp_path: Path, tiny_model: Path
) -> None:
    pissa = {"method": {"type": "pissa", "lora": {"rank": 4, "dropout": 0.0}}}
    job = pushed_at_step_2(make_job, hub, tmp_path / "pushed", pissa)
    run = Path(job.paths.run_directory)
    (residual,) = run.glob("residual-*/base")
    trained = PeftModel.from_pretrained(loaded(residual), run / "checkpoints" / "step-00000002")
    pushed = PeftModel.from_pretrained(loaded(tiny_model), tmp_path / "pushed")
    assert torch.allclose(logits(pushed), logits(trained), atol=1e-5)
    assert not torch.allclose(logits(pushed), logits(loaded(tiny_model)), atol=1e-3)


def test_experts_go_up_so_that_they_load(
    make_job: MakeJob, hub: FakeHub, tmp_path: Path, tiny_mixtral: Path
) -> None:
    job = pushed_at_step_2(make_job, hub, tmp_path / "pushed", {"model": {"path": str(tiny_mixtral)}})
    checkpoint = Path(job.paths.run_directory) / "checkpoints" / "step-00000002"
    pushed, report = AutoModelForCausalLM.from_pretrained(tmp_path / "pushed", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert torch.equal(logits(pushed), logits(loaded(checkpoint)))
    assert not torch.allclose(logits(pushed), logits(loaded(tiny_mixtral)), atol=1e-3)
