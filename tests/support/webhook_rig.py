"""The admission webhook in front of a real API server, and somebody who applies jobs there."""

import base64
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from findings_table import COMPLETE, Case
from finetune_operator.serving.admission_server import PATH
from onenode import ControlPlane
from onenode.binaries import binary
from operator_rig import Manifest

CONFIGURATION = "finetune-operator"
INVALID = {**COMPLETE, "resources": {"memory": "64Mi"}}


class Author:
    """Somebody at a terminal, in a namespace of their own."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.control_plane = control_plane
        self.namespace = namespace

    def kubectl(self, *args: str, stdin: Manifest | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(binary("kubectl")), f"--kubeconfig={self.control_plane.kubeconfig}"]
        text = None if stdin is None else json.dumps(stdin)
        return subprocess.run(
            [*command, "-n", self.namespace, *args], input=text, capture_output=True, text=True, check=False
        )

    def done(self, *args: str, stdin: Manifest | None = None) -> str:
        """What kubectl says on standard error of a command that must succeed."""
        result = self.kubectl(*args, stdin=stdin)
        assert result.returncode == 0, result.stderr
        return result.stderr

    def refused(self, *args: str, stdin: Manifest | None = None) -> str:
        """What kubectl says of a command that must fail."""
        result = self.kubectl(*args, stdin=stdin)
        assert result.returncode != 0, result.stdout
        return result.stderr

    def job(self, name: str, spec: Manifest) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace}
        return {**Case(name).manifest, "metadata": metadata, "spec": spec}

    def patch(self, name: str, change: Manifest) -> tuple[str, ...]:
        return ("patch", "ftj", name, "--type=merge", "-p", json.dumps(change))


@contextmanager
def registered(author: Author, rendered_chart: list[Manifest], port: int) -> Iterator[Callable[[], str]]:
    """The chart's webhook, for one namespace and by URL; yields what reads the authority that it trusts."""
    found = next(m for m in rendered_chart if m["kind"] == "ValidatingWebhookConfiguration")
    [webhook] = found["webhooks"]
    selector = {"matchLabels": {"kubernetes.io/metadata.name": author.namespace}}
    by_url = {"url": f"https://localhost:{port}{PATH}"}
    changed = {**webhook, "failurePolicy": "Fail", "namespaceSelector": selector, "clientConfig": by_url}
    author.done("apply", "--server-side", "-f", "-", stdin={**found, "webhooks": [changed]})

    def trusted() -> str:
        path = "jsonpath={.webhooks[0].clientConfig.caBundle}"
        kind = "validatingwebhookconfiguration"
        return base64.b64decode(author.kubectl("get", kind, CONFIGURATION, "-o", path).stdout).decode()

    yield trusted
    author.done("delete", "validatingwebhookconfiguration", CONFIGURATION)


def answers(author: Author) -> bool:
    """Whether the API server asks the operator, and believes it."""
    result = author.kubectl("create", "--dry-run=server", "-f", "-", stdin=author.job("probe", COMPLETE))
    refused = author.kubectl("create", "--dry-run=server", "-f", "-", stdin=author.job("probe", INVALID))
    return result.returncode == 0 and "resources.sharedMemory" in refused.stderr


@contextmanager
def authors_namespace(control_plane: ControlPlane) -> Iterator[Author]:
    name = f"authors-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield Author(control_plane, name)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
