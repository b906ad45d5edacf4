"""The command line, a namespace of its own, and an API server that knows our kinds."""

from collections.abc import Callable, Iterator

import pytest

from finetune_api.crd import fine_tune_job_crd, fine_tune_preset_crd, to_yaml
from finetune_cli.main import main
from onenode import ControlPlane
from operator_rig import Namespace, wait_until


@pytest.fixture(scope="session")
def namespace(control_plane: ControlPlane) -> Iterator[Namespace]:
    crds = [fine_tune_job_crd(), fine_tune_preset_crd()]
    stream = "---\n".join(to_yaml(crd) for crd in crds)
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=stream)
    resources = ("api-resources", "--api-group=finetune.dev", "-o", "name")
    wait_until("both kinds are served", lambda: len(control_plane.kubectl(*resources).split()) == len(crds))
    control_plane.kubectl("create", "namespace", "cli-tests")
    yield Namespace(control_plane, "cli-tests")
    control_plane.kubectl("delete", "namespace", "cli-tests", "--wait=false")


@pytest.fixture
def finetune(namespace: Namespace) -> Callable[..., int]:
    """`finetune VERB …` in the tests' namespace; returns the exit status."""
    where = ["--kubeconfig", str(namespace.control_plane.kubeconfig), "-n", namespace.name]
    return lambda verb, *words: main([verb, *words, *where])
