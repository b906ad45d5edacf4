"""The control plane alone: what it enforces, how fast it starts, and that nothing of it outlives its test."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from onenode import ControlPlane, ControlPlaneError
from onenode.daemons import wait_until

START_LIMIT_SECONDS = 15.0


def test_starts_within_fifteen_seconds(control_plane: ControlPlane) -> None:
    # The session's own control plane has paid for builds and downloads.
    assert _start_seconds() < START_LIMIT_SECONDS


def test_several_run_side_by_side_and_do_not_see_each_other(control_plane: ControlPlane) -> None:
    others = [ControlPlane(), ControlPlane()]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(ControlPlane.start, others))
        for index, other in enumerate(others):
            other.kubectl("create", "namespace", f"only-in-{index}")
        assert "only-in-0" not in others[1].kubectl("get", "namespaces")
        assert "only-in" not in control_plane.kubectl("get", "namespaces")
    finally:
        for other in others:
            other.stop()


def test_stop_leaves_no_process_and_no_file() -> None:
    with ControlPlane() as running:
        folder = running.folder
        assert _processes_of(folder)
    assert not folder.exists()
    assert _processes_of(folder) == []


def test_a_killed_test_process_takes_its_control_plane_with_it(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom onenode import ControlPlane\n"
        "plane = ControlPlane()\nplane.start()\nprint(plane.folder, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert len(_processes_of(folder)) >= 4
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not folder.exists() and not _processes_of(folder), "end of everything", seconds=20)


def test_a_killed_supervisor_takes_its_programs_with_it() -> None:
    plane = ControlPlane()
    plane.start()
    folder = plane.folder
    parents = {_parent(pid) for pid in _processes_of(folder)}
    supervisor = next(pid for pid in parents if pid != os.getpid() and "control-plane" in _command(pid))
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not _processes_of(folder), "end of the programs", seconds=20)
    plane.stop()
    subprocess.run(["rm", "-r", str(folder)], check=True)


def test_asking_a_stopped_control_plane_says_how_to_start_it() -> None:
    with pytest.raises(ControlPlaneError, match="call start"):
        _ = ControlPlane().kubeconfig


def test_the_users_own_kubeconfig_is_left_alone(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    poison = tmp_path / "kubeconfig"
    poison.write_text("not: a kubeconfig\n")
    monkeypatch.setenv("KUBECONFIG", str(poison))
    control_plane.kubectl("get", "namespaces")
    assert poison.read_text() == "not: a kubeconfig\n"


def test_a_service_account_may_only_what_rbac_grants(control_plane: ControlPlane) -> None:
    someone = "--as=system:serviceaccount:default:default"
    assert "forbidden" in control_plane.kubectl("get", "secrets", someone, check=False)


def test_a_node_may_not_read_secrets_of_pods_that_it_does_not_run(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "secret", "generic", "not-yours", "--from-literal=key=value")
    answer = control_plane.kubectl(
        "get", "secret", "not-yours", "--as=system:node:elsewhere", "--as-group=system:nodes", check=False
    )
    assert "no relationship found between node 'elsewhere' and this object" in answer


def test_a_restricted_namespace_refuses_a_privileged_pod(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "strict")
    control_plane.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged", "namespace": "strict"},
        "spec": {"containers": [{"name": "main", "image": "any", "securityContext": {"privileged": True}}]},
    }
    answer = control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(pod), check=False)
    assert 'violates PodSecurity "restricted' in answer


def test_tokens_for_an_audience_are_issued_and_reviewed(control_plane: ControlPlane) -> None:
    token = control_plane.kubectl("create", "token", "default", "--audience=a-job").strip()

    def authenticated(audience: str) -> bool:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        answer = control_plane.kubectl("create", "-f", "-", "-o", "yaml", input=yaml.safe_dump(review))
        return bool(yaml.safe_load(answer)["status"].get("authenticated", False))

    assert authenticated("a-job")
    assert not authenticated("another-job")


def test_requests_are_audited_without_bodies(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "secret", "generic", "audited", "--from-literal=key=confidential-value")
    log = control_plane.folder / "logs" / "audit.log"
    wait_until(lambda: '"name":"audited"' in log.read_text(), "audit record of the secret", seconds=10)
    assert "confidential" not in log.read_text()


def test_the_api_server_refuses_strangers(control_plane: ControlPlane) -> None:
    kubeconfig = yaml.safe_load(control_plane.kubeconfig.read_text())
    server = kubeconfig["clusters"][0]["cluster"]["server"]
    assert server.startswith("https://")
    answer = control_plane.kubectl("get", "--raw", "/api/v1/namespaces", "--as=system:anonymous", check=False)
    assert "Forbidden" in answer or "forbidden" in answer


def _start_seconds() -> float:
    started = time.monotonic()
    with ControlPlane():
        return time.monotonic() - started


def _processes_of(folder: Path) -> list[int]:
    """Processes with the folder in their command line."""
    numbers = (entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in map(int, numbers) if str(folder) in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
