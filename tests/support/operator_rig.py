"""What the integration tests need: the operator as a process of its own, and a namespace to play in."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import yaml

from onenode import ControlPlane
from waiting import T, wait_until

SYSTEM = "finetune-system"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:finetune-operator"

Manifest = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class OperatorProcess:
    """`python -m finetune_operator`, which can be started, stopped and killed."""

    folder: Path
    kubeconfig: Path
    overrides: Manifest = field(default_factory=dict)
    status_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    module: str = "finetune_operator"
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.launch()
        wait_until("the operator is ready", self.ready)

    def launch(self) -> None:
        """Start, and don't wait."""
        settings = {
            "namespace": SYSTEM,
            "instance": "test",
            "trainer": {"image": "finetune-trainer:test"},
            "statusServer": {"host": "127.0.0.1", "port": self.status_port},
            "httpHost": "127.0.0.1",
            "httpPort": self.http_port,
            **self.overrides,
        }
        config = self.folder / "settings.yaml"
        config.write_text(yaml.safe_dump(settings))
        in_a_pod = {"POD_NAMESPACE", "POD_NAME", "KUBERNETES_SERVICE_HOST"}
        environment = {
            **{name: value for name, value in os.environ.items() if name not in in_a_pod},
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with (self.folder / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--config", str(config)],
                env=environment,
                stderr=log,
            )

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        return self.http("/readyz")[0] == 200

    def http(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except URLError:
            return 0, ""

    def metric(self, sample: str) -> float:
        """The value of a sample, written as in Prometheus' text format; 0 if it is not there."""
        lines = self.http("/metrics")[1].splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample + " ")), 0.0)

    def log(self) -> str:
        return (self.folder / "operator.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self.process = None
        return status


@dataclass(frozen=True)
class Namespace:
    """A namespace of a test's own, and what the test does in it."""

    control_plane: ControlPlane
    name: str

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        return self.control_plane.kubectl("-n", self.name, *args, input=stdin, check=check)

    def items(self, kind: str, *args: str) -> list[Manifest]:
        items: list[Manifest] = json.loads(self.kubectl("get", kind, "-o", "json", *args))["items"]
        return items

    def get(self, kind: str, name: str) -> Manifest:
        """The object, or an empty dictionary."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else {}

    def apply(self, manifest: Manifest) -> None:
        self.kubectl("apply", "--server-side", "--field-manager=test", "-f", "-", stdin=json.dumps(manifest))

    def submit(self, name: str, **spec: Any) -> Manifest:
        """Create a FineTuneJob and return it as stored."""
        self.apply(job_manifest(name, **spec))
        return self.get("finetunejob", name)

    def status(self, name: str) -> Manifest:
        status: Manifest = self.get("finetunejob", name).get("status", {})
        return status

    def condition(self, name: str, kind: str) -> Manifest:
        conditions = self.status(name).get("conditions", [])
        return next((found for found in conditions if found["type"] == kind), {})

    def await_child(self, name: str) -> Manifest:
        return self._await(f"child Job {name}", lambda: self.get("job", name))

    def await_pod(self, job: str, attempt: int = 1) -> Manifest:
        selector = f"finetune.dev/job={job},finetune.dev/attempt={attempt}"
        return self._await(f"a pod of {job}", lambda: self.items("pods", "-l", selector))[0]

    def _await(self, what: str, probe: Callable[[], T]) -> T:
        try:
            return wait_until(what, probe)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.kubectl('get', 'finetunejobs', '-o', 'yaml')}") from None

    def token(self, pod: str, audience: str) -> str:
        """A ServiceAccount token bound to a pod, as the kubelet would project it."""
        kind = ("--bound-object-kind=Pod", f"--bound-object-name={pod}") if pod else ()
        return self.kubectl("create", "token", "default", f"--audience={audience}", *kind).strip()

    def requests(self, *verbs: str) -> list[str]:
        """What the operator has asked of the API server in this namespace, as `verb resource`, in order."""
        lines = (self.control_plane.folder / "logs/audit.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines if ACCOUNT in line and self.name in line]
        found = []
        for entry in entries:
            target = entry.get("objectRef", {})
            if entry["user"]["username"] != ACCOUNT or target.get("namespace") != self.name:
                continue
            if entry["stage"] == "ResponseComplete" and (not verbs or entry["verb"] in verbs):
                resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
                found.append(f"{entry['verb']} {resource}")
        return found

    def patch_status(self, kind: str, name: str, status: Manifest) -> None:
        """Play the kubelet, or a controller."""
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)

    def end_trainer(self, pod: str, exit_code: int, result: Manifest | None = None) -> None:
        """Play the kubelet, which tells that the trainer's container has ended, with its last word."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        message = json.dumps(result) if result is not None else ""
        terminated = {"exitCode": exit_code, "message": message, "startedAt": now, "finishedAt": now}
        self.patch_trainer(pod, "Failed" if exit_code else "Succeeded", {"terminated": terminated})

    def patch_trainer(self, pod: str, phase: str, state: Manifest) -> None:
        """Play the kubelet, which tells of the trainer's container."""
        container = {
            "name": "trainer",
            "image": "finetune-trainer:test",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        self.patch_status("pod", pod, {"phase": phase, "containerStatuses": [container]})


def job_manifest(name: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"path": "/models/base"},
            "method": {"type": "lora"},
            "dataset": {"format": "alpaca", "train": {"path": "/data/train.jsonl"}},
            "training": {"maxSteps": 10},
            "checkpoints": {"storage": {"claimName": "models"}},
            "resources": {"cpu": "100m", "memory": "2Gi"},
            **spec,
        },
    }


def account_kubeconfig(control_plane: ControlPlane, namespace: str, account: str, folder: Path) -> Path:
    """Write a kubeconfig with which one speaks as a ServiceAccount."""
    create = ("create", "token", account, "--duration=2h")
    token = control_plane.kubectl("-n", namespace, *create).strip()
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def running(folder: Path, kubeconfig: Path, **overrides: Any) -> Iterator[OperatorProcess]:
    """An operator that runs until the block ends; its log is shown when something fails."""
    operator = OperatorProcess(folder, kubeconfig, overrides)
    try:
        operator.start()
        yield operator
    finally:
        if operator.process is not None:
            operator.stop(signal.SIGKILL)
        print(operator.log())


def report(operator: OperatorProcess, path: str, token: str, body: Manifest, ca: str) -> tuple[int, Manifest]:
    """POST a report as a pod does; returns the status code and the JSON that came back."""
    request = Request(
        f"https://localhost:{operator.status_port}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urlopen(request, timeout=10, context=ssl.create_default_context(cadata=ca)) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
