"""What the node does as any Kubernetes does: the ground that the operator's own tests stand on."""

import base64
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import Cluster, Manifest, wait_until
from onenode import scratch_images
from onenode.certificates import Authority

NAMESPACE = "node-behaviour"
ACCELERATOR = "example.org/npu"
SECURE: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
AS_USER: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}

FIND_PEER = """
me=$JOB_COMPLETION_INDEX
other=$((1 - me))
echo from-$me > /shared/$me
until nslookup peers-$other.peers.node-behaviour.svc.cluster.local && cat /shared/$other; do sleep 0.2; done
/busybox grep -E '^(Uid|Seccomp):' /proc/self/status
"""

WEBHOOK = """
import http.server, json, ssl

class Refuse(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        uid = review["request"]["uid"]
        response = {"uid": uid, "allowed": False, "status": {"message": "not while I watch"}}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(review | {"response": response}).encode())

server = http.server.HTTPServer(("", 8443), Refuse)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/certificates/tls.crt", "/certificates/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.restricted_namespace(NAMESPACE) as name:
        yield name


def test_pods_of_a_job_find_each_other_by_name_and_share_a_volume(cluster: Cluster, namespace: str) -> None:
    pod = _pod(["/busybox", "sh", "-c", FIND_PEER])
    pod["spec"] |= {"subdomain": "peers", "volumes": [_claim_volume("shared")]}
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    pod["metadata"] = {"labels": {"app": "peers"}}
    cluster.apply(
        _object(
            "v1",
            "Service",
            "peers",
            clusterIP="None",
            publishNotReadyAddresses=True,
            selector={"app": "peers"},
        ),
        _claim("shared"),
        _object(
            "batch/v1",
            "Job",
            "peers",
            completions=2,
            parallelism=2,
            completionMode="Indexed",
            backoffLimit=0,
            template=pod,
        ),
    )
    cluster.kubectl("wait", "-n", namespace, "job/peers", "--for=condition=Complete", "--timeout=90s")
    logs = cluster.kubectl("logs", "-n", namespace, "-l", "app=peers", "--tail=-1")
    assert "from-0" in logs
    assert "from-1" in logs
    assert logs.count("Uid:\t1000") == 2
    assert logs.count("Seccomp:\t2") == 2


def test_a_service_leads_to_its_pod_and_exec_enters_it(cluster: Cluster, namespace: str) -> None:
    pod = _pod(["/busybox", "httpd", "-f", "-p", "8080", "-h", "/etc"])
    pod["metadata"] |= {"name": "server", "namespace": namespace, "labels": {"app": "web"}}
    service = _object(
        "v1", "Service", "web", selector={"app": "web"}, ports=[{"port": 80, "targetPort": 8080}]
    )
    cluster.apply({"apiVersion": "v1", "kind": "Pod", **pod}, service)
    cluster.kubectl("wait", "-n", namespace, "pod/server", "--for=condition=Ready", "--timeout=60s")

    def page() -> str:
        command = ["exec", "-n", namespace, "server", "--", "wget", "-qO-", "http://web/resolv.conf"]
        return cluster.run("kubectl", *command).stdout

    assert "svc.cluster.local" in wait_until("an answer of the service", page, 30)


def test_the_api_server_asks_a_webhook_that_runs_in_a_pod(
    cluster: Cluster, namespace: str, image_values: list[str], tmp_path: Path
) -> None:
    (image,) = [
        value.split("=", 2)[2] for value in image_values if value.startswith("--set-string=images.operator=")
    ]
    authority = Authority(tmp_path, "ca")
    serving = authority.issue("webhook", "webhook", hosts=[f"webhook.{namespace}.svc"])
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "webhook", "namespace": namespace},
        "stringData": {"tls.crt": serving.certificate.read_text(), "tls.key": serving.key.read_text()},
    }
    pod = _pod(["python", "-c", WEBHOOK], image)
    pod["metadata"] |= {"name": "webhook", "namespace": namespace, "labels": {"app": "webhook"}}
    pod["spec"]["volumes"] = [{"name": "certificates", "secret": {"secretName": "webhook"}}]
    container = pod["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": "certificates", "mountPath": "/certificates"}]
    container["readinessProbe"] = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    service = _object(
        "v1", "Service", "webhook", selector={"app": "webhook"}, ports=[{"port": 443, "targetPort": 8443}]
    )
    cluster.apply(secret, {"apiVersion": "v1", "kind": "Pod", **pod}, service)
    cluster.kubectl("wait", "-n", namespace, "pod/webhook", "--for=condition=Ready", "--timeout=60s")
    try:
        cluster.apply(_webhook_configuration(namespace, authority))

        def answer() -> str:
            done = cluster.run("kubectl", "create", "configmap", "any", "-n", namespace, "--dry-run=server")
            return done.stderr if "denied the request" in done.stderr else ""

        assert "not while I watch" in wait_until("a refusal by the webhook", answer, 30)
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", NAMESPACE, "--ignore-not-found")


def test_advertised_accelerators_are_given_to_the_pod_that_asks(cluster: Cluster, namespace: str) -> None:
    pod = _pod(["/busybox", "true"])
    pod["metadata"] |= {"name": "wants-npu", "namespace": namespace}
    pod["spec"]["containers"][0]["resources"] = {"limits": {ACCELERATOR: "2"}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", **pod})

    def refusal() -> str:
        conditions = cluster.get("-n", namespace, "pod", "wants-npu")["status"].get("conditions", [])
        return " ".join(condition.get("message", "") for condition in conditions)

    assert f"Insufficient {ACCELERATOR}" in wait_until("the scheduler's refusal", refusal, 30)
    try:
        _patch_capacity(cluster, {"op": "add", "value": "2"})
        cluster.kubectl(
            "wait",
            "-n",
            namespace,
            "pod/wants-npu",
            "--for=jsonpath={.status.phase}=Succeeded",
            "--timeout=90s",
        )
    finally:
        _patch_capacity(cluster, {"op": "remove"})


def test_the_kubelet_and_the_api_server_refuse_a_client_without_a_certificate(cluster: Cluster) -> None:
    node = cluster.get("node", "onenode")
    address = next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")
    authority = cluster.kubectl(
        "config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.certificate-authority-data}"
    )
    context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    assert context.verify_mode is ssl.CERT_REQUIRED
    for port, path, status in ((10250, "pods", "401"), (6443, "api/v1/secrets", "403")):
        done = subprocess.run(
            ["curl", "-sko", "/dev/null", "-w", "%{http_code}", f"https://{address}:{port}/{path}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == status


def _pod(command: list[str], image: str = "") -> Manifest:
    container = {
        "name": "main",
        "image": image or scratch_images.reference("busybox"),
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": SECURE,
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "securityContext": AS_USER}
    return {"metadata": {}, "spec": spec | {"containers": [container]}}


def _object(version: str, kind: str, name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def _claim(name: str) -> Manifest:
    return _object(
        "v1",
        "PersistentVolumeClaim",
        name,
        accessModes=["ReadWriteOnce"],
        resources={"requests": {"storage": "1Mi"}},
    )


def _claim_volume(name: str) -> Manifest:
    return {"name": name, "persistentVolumeClaim": {"claimName": name}}


def _webhook_configuration(namespace: str, authority: Authority) -> Manifest:
    bundle = base64.b64encode(authority.certificate.read_bytes()).decode()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    webhook = {
        "name": "refuse.example.org",
        "clientConfig": {"service": {"name": "webhook", "namespace": namespace}, "caBundle": bundle},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAMESPACE},
        "webhooks": [webhook],
    }


def _patch_capacity(cluster: Cluster, operation: Manifest) -> None:
    patch = json.dumps([{"path": f"/status/capacity/{ACCELERATOR.replace('/', '~1')}", **operation}])
    cluster.kubectl("patch", "node", "onenode", "--subresource=status", "--type=json", "-p", patch)
