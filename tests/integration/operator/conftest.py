"""The operator against a real control plane, with the rights that the chart gives it and no others."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from onenode import ControlPlane
from onenode.binaries import binary, build
from operator_rig import SYSTEM, Manifest, Namespace, OperatorProcess, account_kubeconfig, running

CHART = Path(__file__).parents[3] / "charts/finetune-operator"


@pytest.fixture(scope="session")
def rendered_chart() -> list[Manifest]:
    """What `helm install` would create."""
    build(["helm"])
    command = [str(binary("helm")), "template", "finetune", str(CHART), "-n", SYSTEM]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


@pytest.fixture(scope="session")
def installation(
    control_plane: ControlPlane, rendered_chart: list[Manifest], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The chart's CRDs and rights, installed; returns a kubeconfig of the operator's ServiceAccount."""
    control_plane.kubectl("create", "namespace", SYSTEM)
    elsewhere = {"Deployment", "Service", "ValidatingWebhookConfiguration"}
    wanted = [m for m in rendered_chart if m["kind"] not in elsewhere]
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(wanted))
    for crd in (m["metadata"]["name"] for m in wanted if m["kind"] == "CustomResourceDefinition"):
        control_plane.kubectl("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=30s")
    folder = tmp_path_factory.mktemp("operator")
    return account_kubeconfig(control_plane, SYSTEM, "finetune-operator", folder)


@pytest.fixture
def namespace(control_plane: ControlPlane, installation: Path) -> Iterator[Namespace]:
    """An empty namespace; what is in it goes with the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield Namespace(control_plane, name)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def operator(installation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """One running operator for all tests, which serves every namespace."""
    with running(tmp_path_factory.mktemp("shared-operator"), installation) as process:
        yield process
