"""The command line against a real node: a job is sent, followed and read as its user does it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from live import FROM_SCRATCH, NAMESPACE, Cluster, Job, job_manifest

Finetune = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def finetune(cluster: Cluster) -> Finetune:
    """`finetune …` as a process, with the cluster's own kubeconfig."""

    def start(verb: str, *arguments: str) -> subprocess.Popen[str]:
        where = ["--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE]
        command = [sys.executable, "-m", "finetune_cli", verb, *where, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def printed(process: subprocess.Popen[str]) -> str:
    """All that a command that must succeed has printed."""
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    return output


def test_a_job_is_sent_followed_and_read(
    cluster: Cluster, namespace: str, finetune: Finetune, tmp_path: Path
) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job_manifest("followed", {"training": {"maxSteps": 60}}, FROM_SCRATCH)))
    job = Job(cluster, "followed")
    try:
        assert "followed" in printed(finetune("submit", str(file)))
        job.await_step(1)
        logs, watch = finetune("logs", "followed", "--follow"), finetune("watch", "followed")
        assert "Succeeded" in printed(watch)
        followed = printed(logs)
        assert "step 5/60: loss" in followed
        assert "step 60/60: loss" in followed
        shown = json.loads(printed(finetune("get", "followed", "-o", "json")))
        assert shown["status"]["phase"] == "Succeeded"
    finally:
        job.delete("--ignore-not-found", "--wait=false")
