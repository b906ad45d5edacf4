"""Helm with our chart while jobs run, and with a chart of a user that holds a job."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from live import (
    FROM_SCRATCH,
    NAMESPACE,
    SYSTEM_NAMESPACE,
    Cluster,
    Job,
    Manifest,
    as_jsonl,
    config_map,
    job_manifest,
    wait_until,
)

SubmitJob = Callable[..., Job]


def test_upgrade_and_uninstall_leave_a_running_job_alone(
    cluster: Cluster, release: list[str], submit: SubmitJob
) -> None:
    job = submit("undisturbed", {"training": {"maxSteps": 900}})
    job.await_step(5)
    pods = [pod["metadata"]["uid"] for pod in job.pods]

    cluster.helm(*release, "--set-string=log.level=DEBUG")
    assert [pod["metadata"]["uid"] for pod in job.pods] == pods

    cluster.helm("uninstall", "finetune", "-n", SYSTEM_NAMESPACE, "--wait")
    assert [pod["metadata"]["uid"] for pod in job.pods] == pods
    assert job.read()["spec"]["training"]["maxSteps"] == 900

    cluster.helm(*release)
    seen = job.step
    wait_until("progress after the reinstallation", lambda: job.step > seen or job.step == 900, 90)
    status = job.await_condition("Complete", 240)
    assert [attempt["number"] for attempt in status["attempts"]] == [1]


def chart_of(directory: Path, job: Manifest) -> str:
    """A chart that holds nothing but a job."""
    templates = directory / "templates"
    templates.mkdir(parents=True)
    name = job["metadata"]["name"]
    (directory / "Chart.yaml").write_text(json.dumps({"apiVersion": "v2", "name": name, "version": "1.0.0"}))
    (templates / "job.yaml").write_text(json.dumps(job))
    return str(directory)


def test_helm_waits_until_a_job_has_succeeded_and_tells_of_one_that_fails(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    cluster.apply(config_map("without-answers", train__jsonl=as_jsonl([{"instruction": "no answer"}])))
    unusable = {"train": {"configMap": {"name": "without-answers", "key": "train.jsonl"}}}
    jobs = {
        "charted": job_manifest("charted", {"training": {"maxSteps": 5}}, FROM_SCRATCH),
        "charted-badly": job_manifest("charted-badly", {"dataset": unusable}, FROM_SCRATCH),
    }
    helm = [str(cluster.bin / "helm"), "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE]
    waiting = {
        name: subprocess.Popen(
            [*helm, "install", name, chart_of(tmp_path / name, job), "--wait", "--timeout=240s"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, job in jobs.items()
    }
    try:
        said = {name: process.communicate(timeout=260)[0] for name, process in waiting.items()}
        assert waiting["charted"].returncode == 0, said["charted"]
        assert Job(cluster, "charted").status["phase"] == "Succeeded"
        assert waiting["charted-badly"].returncode != 0
        assert Job(cluster, "charted-badly").status["phase"] == "Failed"
    finally:
        for name in jobs:
            cluster.run("helm", "uninstall", name, "-n", NAMESPACE, "--ignore-not-found")
