"""A control plane that knows FineTuneJob."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from finetune_api.crd import fine_tune_job_crd, fine_tune_preset_crd, to_yaml
from onenode import ControlPlane
from operator_rig import wait_until

NAMESPACE = "api-tests"


class Api:
    """kubectl in a namespace of our own."""

    namespace = NAMESPACE

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane

    def kubectl(self, *arguments: str, manifest: Any = None, check: bool = True) -> str:
        """What kubectl prints on its standard output. Raises `CalledProcessError` if `check` and it fails."""
        text = None if manifest is None else json.dumps(manifest)
        return self._control_plane.kubectl("--namespace", NAMESPACE, *arguments, input=text, check=check)

    def create(self, manifest: Any) -> dict[str, Any]:
        """The object as it is stored."""
        created = self.kubectl("create", "-f", "-", "-o", "json", manifest=manifest)
        return dict(json.loads(created))

    def patch(self, name: str, change: dict[str, Any], *, status: bool = False) -> None:
        """Merges a change into a job, or into its status."""
        target = ["--subresource=status"] if status else []
        from_stdin = "--patch-file=/dev/stdin"  # an argument has 128 KiB at most
        self.kubectl("patch", "ftj", name, "--type=merge", *target, from_stdin, manifest=change)


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    crds = [fine_tune_job_crd(), fine_tune_preset_crd()]
    stream = "---\n".join(to_yaml(crd) for crd in crds)
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=stream)
    # api-resources asks anew; other commands may answer from what kubectl remembers of the time before
    resources = ("api-resources", "--api-group=finetune.dev", "-o", "name")
    wait_until(
        "discovery knows both kinds", lambda: len(control_plane.kubectl(*resources).split()) == len(crds)
    )
    # published after discovery; `kubectl explain` reads it
    schemas = ("get", "--raw", "/openapi/v3/apis/finetune.dev/v1alpha1")
    wait_until(
        "the schemas of both kinds",
        lambda: all(
            f"/{crd['spec']['names']['plural']}/" in control_plane.kubectl(*schemas, check=False)
            for crd in crds
        ),
    )
    control_plane.kubectl("create", "namespace", NAMESPACE)
    yield Api(control_plane)
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    """A minimal job, with sections of its spec replaced."""
    minimal = {
        "model": {"id": "organisation/model"},
        "dataset": {"train": {"hub": {"id": "organisation/data"}}},
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": minimal | spec,
    }


@pytest.fixture(name="manifest", scope="session")
def manifest_fixture() -> Any:
    return manifest
