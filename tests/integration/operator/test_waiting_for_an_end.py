"""`finetune submit --wait` and `finetune watch` with a live operator: both end where only the user helps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_cli.main import main
from operator_rig import Manifest, Namespace, OperatorProcess, job_manifest
from policies import SPOILED_JOBS, policy_in_force


@pytest.fixture
def finetune(namespace: Namespace, operator: OperatorProcess) -> Callable[..., int]:
    """`finetune VERB …` in the test's namespace; returns the exit status."""
    where = ["--kubeconfig", str(namespace.control_plane.kubeconfig), "-n", namespace.name]
    return lambda *words: main([*words, *where])


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Manifest], str]:
    def written(manifest: Manifest) -> str:
        path = tmp_path / "job.yaml"
        path.write_text(json.dumps(manifest))
        return str(path)

    return written


def test_a_pod_that_kubernetes_refuses(
    namespace: Namespace,
    finetune: Callable[..., int],
    file: Callable[[Manifest], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with policy_in_force(namespace, SPOILED_JOBS, "No Class"):
        assert finetune("submit", file(job_manifest("tune")), "--wait", "--timeout", "60") == 1
        assert "InvalidSpec" in capsys.readouterr().out
        assert namespace.condition("tune", "Stalled")["reason"] == "InvalidSpec"
        assert finetune("watch", "tune", "--timeout", "60") == 1
    out = capsys.readouterr().out
    assert "InvalidSpec" in out
    assert "runtimeClassName" in out


def test_a_name_that_is_taken(
    namespace: Namespace,
    finetune: Callable[..., int],
    file: Callable[[Manifest], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    namespace.kubectl("create", "configmap", "tune-1", "--from-literal=mine=yes")
    assert finetune("submit", file(job_manifest("tune")), "--wait", "--timeout", "60") == 1
    assert "NameConflict: ConfigMap tune-1 is there already" in capsys.readouterr().out
    assert finetune("watch", "tune", "--timeout", "60") == 1
    assert "NameConflict" in capsys.readouterr().out


def test_what_comes_by_itself_is_waited_for(
    namespace: Namespace,
    finetune: Callable[..., int],
    file: Callable[[Manifest], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No node here takes the pod; one may come."""
    assert finetune("submit", file(job_manifest("tune")), "--wait", "--timeout", "4") == 1
    assert "tune: not done after 4 s" in capsys.readouterr().err
