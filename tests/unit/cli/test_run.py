"""`finetune run`: the operator's rules carried out with real processes of this machine.

The processes are small programs given as `resources.command`, which report as any trainer does.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import yaml

from finetune_api import FineTuneJobStatus
from finetune_api.base import API_VERSION
from finetune_api.validation.parsing import parse_job
from finetune_cli.commands.run import _next_command

REPORT = """\
import json, os, sys, time, urllib.request
def report(step, total, **finetune):
    metrics = [{"name": "loss", "value": "0.5"}]
    body = {
        "trainerStatus": {"progressPercentage": 100 * step // total, "metrics": metrics},
        "finetune": {"step": step, "totalSteps": total, **finetune},
    }
    request = urllib.request.Request(os.environ["KUBEFLOW_TRAINER_SERVER_URL"], json.dumps(body).encode())
    request.add_header("Authorization", "Bearer " + open(os.environ["KUBEFLOW_TRAINER_SERVER_TOKEN"]).read())
    urllib.request.urlopen(request, timeout=10).read()
"""


def manifest(directory: Path, program: str, extra: str = "") -> Path:
    """Write a job whose command is `program`, mounted from a ConfigMap of the same file."""
    script = indent(REPORT + dedent(program), "    ")
    file = directory / "job.yaml"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\ndata:\n  main.py: |\n"
        + script
        + dedent(
            """
            ---
            apiVersion: finetune.dev/v1alpha1
            kind: FineTuneJob
            metadata: {name: small}
            spec:
              model: {id: org/model}
              dataset: {format: alpaca, train: {hub: {id: org/data}}}
              failurePolicy: {maxRetries: 1, backoffSeconds: 1, gracePeriodSeconds: 20}
              resources:
                command: [python, /code/main.py, --to=/finetune/storage/small]
                volumes: [{name: code, configMap: code, mountPath: /code}]
            """
        )
        + indent(dedent(extra), "  ")
    )
    return file


def finetune(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "finetune_cli", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status["conditions"]}


def test_a_job_that_ends_well_prints_the_status_that_the_cluster_would_show(tmp_path: Path) -> None:
    program = """
    report(1, 2, activity="training")
    print("to", sys.argv[1])
    report(2, 2, activity="training")
    """
    ended = finetune(tmp_path, "run", str(manifest(tmp_path, program)))
    assert ended.returncode == 0, ended.stderr
    status = yaml.safe_load(ended.stdout)
    assert status["phase"] == "Succeeded"
    assert conditions(status)["Ready"] == conditions(status)["Complete"] == "True"
    assert status["progress"]["step"] == 2
    assert status["metrics"]["loss"] == "0.5"
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Succeeded"]
    assert (tmp_path / "volumes" / "small-storage").is_dir()
    assert "\x1b" not in ended.stderr
    assert "Next:" not in ended.stderr, "this job leaves nothing that answers"


def test_a_failed_attempt_is_tried_again_as_often_as_the_policy_says(tmp_path: Path) -> None:
    program = """
    print("broken on purpose")
    sys.exit(3)
    """
    ended = finetune(tmp_path, "run", "-o", "json", str(manifest(tmp_path, program)))
    status = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert status["phase"] == "Failed"
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Failed", "Failed"]
    assert status["retries"] == 1
    assert "broken on purpose" in ended.stderr


def test_a_signal_suspends_the_job_and_its_processes_save_and_end(tmp_path: Path) -> None:
    program = """
    import pathlib, signal
    place = pathlib.Path(sys.argv[1].removeprefix("--to="))
    place.mkdir(parents=True)
    def save(*_):
        (place / "saved").touch()
        sys.exit(143)
    signal.signal(signal.SIGTERM, save)
    (place / "pid").write_text(str(os.getpid()))
    report(1, 10, activity="training")
    while True:
        signal.pause()
    """
    command = [sys.executable, "-u", "-m", "finetune_cli", "run", str(manifest(tmp_path, program))]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert running.stdout is not None
        seen = b""
        while b"step 1/10" not in seen:
            line = running.stderr.readline()
            assert line, seen.decode()
            seen += line
        running.send_signal(signal.SIGINT)
        status = yaml.safe_load(running.stdout.read())
        assert running.wait(timeout=60) == 20
    place = tmp_path / "volumes" / "small-storage" / "small"
    assert (place / "saved").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((place / "pid").read_text()), 0)
    assert status["phase"] == "Suspended"
    assert conditions(status)["Suspended"] == "True"
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Suspended"]


def test_one_failed_node_ends_the_others(tmp_path: Path) -> None:
    program = """
    import signal
    if os.environ["JOB_COMPLETION_INDEX"] == "1":
        sys.exit(4)
    signal.pause()
    """
    extra = """\
    distributed: {nodes: 2}
    checkpoints: {storage: {accessModes: [ReadWriteMany]}}
    """
    file = manifest(tmp_path, program, extra)
    ended = finetune(tmp_path, "run", "--set", "failurePolicy.maxRetries=0", str(file))
    assert ended.returncode == 4, ended.stderr
    status = yaml.safe_load(ended.stdout)
    assert [(attempt["exitCode"], attempt["pods"]) for attempt in status["attempts"]] == [(4, 2)]


def test_a_cancelled_job_starts_nothing_and_ends(tmp_path: Path) -> None:
    ended = finetune(tmp_path, "run", "--set", "cancel=true", str(manifest(tmp_path, "report(1, 1)")))
    assert ended.returncode == 1
    status = yaml.safe_load(ended.stdout)
    assert status["phase"] == "Cancelled"
    assert not status.get("attempts")


def test_an_invalid_manifest_starts_nothing_and_exits_with_10(tmp_path: Path) -> None:
    ended = finetune(tmp_path, "run", "--set", "training.epochs=-1", str(manifest(tmp_path, "report(1, 1)")))
    assert ended.returncode == 10
    assert "training.epochs" in ended.stderr
    assert not (tmp_path / "volumes").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--job", "other"], "--job other: job.yaml holds small"),
        (["--set", "training.epochs"], "write PATH=VALUE"),
        (["--volume", "data"], "write NAME=DIRECTORY"),
        (
            ["--set", "dataset.train={pvc: {claimName: records, path: a.jsonl}}"],
            "Write --volume records=DIRECTORY",
        ),
        (
            ["--set", "resources.env=[{name: SECRET_WORD, valueFrom: {secretKeyRef: {name: s, key: k}}}]"],
            "Export SECRET_WORD",
        ),
        (["--set", "output.hub={id: a/b, tokenSecret: {name: s, key: k}}"], "Export FINETUNE_HUB_TOKEN"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_to_write(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    manifest(tmp_path, "report(1, 1)")
    ended = finetune(tmp_path, "run", "job.yaml", *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("stage", "output", "command"),
    [
        (
            "sft",
            {"kind": "adapter", "path": "/my runs/adapter"},
            "finetune generate --model '/my runs/adapter'",
        ),
        ("rm", {"kind": "model", "path": "/runs/model"}, None),
        ("sft", None, None),
    ],
)
def test_what_has_been_trained_is_followed_by_how_to_try_it(
    stage: str, output: dict[str, str] | None, command: str | None
) -> None:
    spec = {
        "model": {"id": "org/model"},
        "dataset": {"train": {"path": "/data"}},
        "training": {"stage": stage},
    }
    job = parse_job(
        {"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": {"name": "job"}, "spec": spec}
    )
    status = FineTuneJobStatus.model_validate({"output": output})
    assert _next_command(job, status) == command
