"""`kubectl finetune`: kubectl finds the command line on the PATH, and hands on words and exit status."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onenode.binaries import binary
from operator_rig import Namespace

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kubectl(namespace: Namespace, tmp_path: Path) -> Kubectl:
    """kubectl itself, with `kubectl-finetune` beside it as an installation of this project puts it there."""
    plugin = tmp_path / "kubectl-finetune"
    plugin.write_text(
        f"#!{sys.executable}\nimport sys\nfrom finetune_cli.main import main\nsys.exit(main())\n"
    )
    plugin.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "KUBECONFIG": str(namespace.control_plane.kubeconfig),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary("kubectl")), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_job_is_submitted_and_listed_through_kubectl(
    kubectl: Kubectl, namespace: Namespace, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    words = ("--model", "org/model", "--dataset", "/data", "--name", "plugged")
    made = kubectl("finetune", "init", *words, str(file))
    assert made.returncode == 0, made.stderr
    sent = kubectl("finetune", "submit", str(file), "-n", namespace.name, "--set", "training.epochs=7")
    assert sent.returncode == 0, sent.stderr
    assert namespace.get("finetunejob", "plugged")["spec"]["training"]["epochs"] == 7

    listed = kubectl("finetune", "list", "-n", namespace.name, "-o", "name")
    assert "finetunejob.finetune.dev/plugged" in listed.stdout.splitlines()


def test_the_exit_status_is_handed_on(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("}")
    assert kubectl("finetune", "validate", str(tmp_path / "job.yaml")).returncode == 1
    assert kubectl("finetune", "no-such-verb").returncode == 2
