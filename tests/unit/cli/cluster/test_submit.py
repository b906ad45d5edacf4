"""Which namespace and which preset a submitted job is sent and watched with. The cluster is a stand-in:
tests/integration/cli sends jobs to a real API server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.commands import submit, watch
from finetune_cli.main import main

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {{name: tune, namespace: {namespace}}}
spec:
  model: {{id: org/model}}
  dataset: {{train: {{hub: {{id: org/data}}}}}}
"""
PRESET = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTunePreset",
    "metadata": {"name": "ours"},
    "spec": {"title": "Ours", "values": {"training": {"epochs": 7}}},
}


class OneCluster:
    """Takes whatever is applied, and has the preset `ours` in every namespace."""

    def __init__(self, namespace: str, applied: list[Any]) -> None:
        self.namespace, self.applied = namespace, applied

    def within(self, namespace: str) -> "OneCluster":
        return OneCluster(namespace, self.applied)

    def preset(self, name: str) -> dict[str, Any]:
        assert name == "ours"
        return PRESET

    def apply(self, manifest: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.applied.append((self.namespace, manifest))
        return manifest | {"metadata": {**manifest["metadata"], "namespace": self.namespace}}


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []

    @contextmanager
    def cluster_of(arguments: Any) -> Iterator[OneCluster]:
        yield OneCluster(arguments.namespace or "of-the-context", sent)

    monkeypatch.setattr(submit, "cluster_of", cluster_of)
    return sent


def written(directory: Path, namespace: str = "null") -> str:
    file = directory / "job.yaml"
    file.write_text(JOB.format(namespace=namespace))
    return str(file)


def test_a_namespace_that_is_null_is_none(applied: list[Any], tmp_path: Path) -> None:
    assert main(["submit", written(tmp_path)]) == 0
    assert [namespace for namespace, _ in applied] == ["of-the-context"]


def test_a_job_is_waited_for_in_its_own_namespace(
    applied: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watch_all(cluster: OneCluster, names: list[str], _timeout: float) -> int:
        seen.append((cluster.namespace, names))
        return 1

    monkeypatch.setattr(watch, "watch_all", watch_all)
    assert main(["submit", written(tmp_path, "team"), "--wait"]) == 1
    assert seen == [("team", ["tune"])]


def test_a_preset_that_set_names_is_looked_for_in_the_cluster_too(applied: list[Any], tmp_path: Path) -> None:
    assert main(["submit", written(tmp_path), "--set", "preset=ours"]) == 0
    [(_, sent)] = applied
    assert sent["spec"]["training"] == {"epochs": 7}
