"""One namespace's trouble is not the others': a webhook hangs for the Jobs of that namespace alone."""

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from api_route import trusted_here
from http_server import serving
from onenode import ControlPlane
from operator_rig import Manifest, Namespace, OperatorProcess, job_manifest, wait_until

JOBS = 40
"""Five for each worker."""
TIMEOUT_SECONDS = 3


@contextmanager
def hanging_webhook(namespace: Namespace) -> Iterator[None]:
    """Each Job of the namespace takes `TIMEOUT_SECONDS` to create, and is refused then."""
    over = threading.Event()

    class Hang(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(60)

    authority = (namespace.control_plane.folder / "pki/ca.crt").read_bytes()
    with serving(Hang, trusted_here(namespace.control_plane)) as address:
        webhook: Manifest = {
            "name": "jobs.slow.example",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
            "clientConfig": {"url": address, "caBundle": base64.b64encode(authority).decode()},
            "rules": [
                {
                    "apiGroups": ["batch"],
                    "apiVersions": ["v1"],
                    "resources": ["jobs"],
                    "operations": ["CREATE"],
                }
            ],
        }
        configuration = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": namespace.name},
            "webhooks": [webhook],
        }
        namespace.apply(configuration)
        try:
            probe = ("create", "job", "probe", "--image=none", "--dry-run=server")
            wait_until(
                "the webhook is asked", lambda: "failed calling" in namespace.kubectl(*probe, check=False)
            )
            yield
        finally:
            over.set()
            namespace.kubectl("delete", "validatingwebhookconfiguration", namespace.name)


def test_jobs_that_hold_their_worker_for_long_do_not_delay_those_of_other_namespaces(
    namespace: Namespace, operator: OperatorProcess, control_plane: ControlPlane
) -> None:
    other = Namespace(control_plane, f"test-{uuid.uuid4().hex[:8]}")
    control_plane.kubectl("create", "namespace", other.name)
    with hanging_webhook(namespace):
        slow = [job_manifest(f"slow-{number}") for number in range(JOBS)]
        namespace.kubectl(
            "create", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": slow})
        )
        wait_until("all workers hang", lambda: operator.metric("finetune_workers_busy") == 8)
        other.submit("tune")
        other.await_child("tune-1")
        assert namespace.requests("create").count("create jobs") < JOBS // 2, "the others wait"
    control_plane.kubectl("delete", "namespace", other.name, "--wait=false")
