"""A control plane of its own for a test: etcd, API server, controllers and scheduler, on free ports.

A supervisor process owns the programs and the folder. It ends them when it is told to, and also when the
process that asked for them dies, however it dies: the two hold the ends of a pipe, and the kernel closes it.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from onenode import paths
from onenode.binaries import binary
from onenode.control_plane import ControlPlaneLayout, Ports
from onenode.daemons import Daemon, DaemonError, Running, spawn, wait_until

READY_SECONDS = 60.0
"""After this time a control plane that is not ready is given up; 4 s are usual on an idle machine."""

_ADDRESS = "127.0.0.1"


class ControlPlaneError(Exception):
    """The control plane did not come up; the message holds the end of the failing program's log."""


class ControlPlane:
    """A running control plane, as a context manager; several can live side by side.

    It has everything but nodes: pods are created and stay pending. Webhooks are reached by URL, or through a
    Service of type ExternalName, for instance `localhost`.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lifeline = -1
        self._kubeconfig: Path | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig.

        Raises:
            ControlPlaneError: the control plane does not run.
        """
        if self._kubeconfig is None:
            raise ControlPlaneError(
                "the control plane does not run: call start() first, or use `with ControlPlane()`"
            )
        return self._kubeconfig

    @property
    def folder(self) -> Path:
        """Where its logs and certificates lie until it stops."""
        return self.kubeconfig.parent

    def start(self) -> None:
        """Starts it and returns when it is ready to serve.

        Raises:
            ControlPlaneError: it did not come up.
        """
        inherited, self._lifeline = os.pipe()
        environment = os.environ | {"PYTHONPATH": _python_path()}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "onenode", "control-plane", "--lifeline", str(inherited)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=[inherited],
                env=environment,
                start_new_session=True,
                text=True,
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(inherited)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, str] = json.loads(line) if line else {"error": "its supervisor died"}
        if error := answer.get("error"):
            self.stop()
            raise ControlPlaneError(f"the control plane did not start: {error}")
        self._kubeconfig = Path(answer["kubeconfig"])

    def stop(self) -> None:
        """Ends all its programs and removes its folder; returns when both are gone."""
        if self._process is None:
            return
        os.close(self._lifeline)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = self._kubeconfig = None

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Runs kubectl against this control plane and returns what it prints.

        Raises:
            ControlPlaneError: kubectl failed, and `check` is set; the message is kubectl's own.
        """
        command = [str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments]
        result = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
        if check and result.returncode != 0:
            raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout if check else result.stdout + result.stderr

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def supervise(lifeline: int | None) -> int:
    """Runs a control plane until SIGTERM, SIGINT or the end of `lifeline`; returns the exit status.

    Prints one line of JSON: `{"kubeconfig": …}` when it is ready, `{"error": …}` when it cannot be.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="finetune-control-plane-"))
    running: list[Running] = []
    try:
        kubeconfig = _start(folder, running)
        print(json.dumps({"kubeconfig": str(kubeconfig)}), flush=True)
        _wait(running, lifeline)
    except _Stop:
        return 0
    except Exception as error:  # noqa: BLE001 - whatever it is, the process that waits for the line must hear it
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        for daemon in reversed(running):
            daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


class _Stop(Exception):
    """A signal asked for the end."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def _start(folder: Path, running: list[Running]) -> Path:
    layout = ControlPlaneLayout(folder, _ADDRESS, advertised=False, ports=_free_ports())
    kubeconfig = layout.write_kubeconfig()
    daemons: Sequence[Daemon] = (
        layout.etcd(),
        layout.kube_apiserver(),
        layout.kube_controller_manager(),
        layout.kube_scheduler(),
    )
    # The kernel kills them when this supervisor dies.
    prefix = ("setpriv", "--pdeathsig", "KILL", "--")
    api = layout.api_server
    for daemon in daemons[:2]:
        running.append(spawn(daemon, layout.logs, prefix=prefix))
    wait_until(
        lambda: api.answers("/readyz"), "readiness of the API server", seconds=READY_SECONDS, alive=running
    )
    for daemon in daemons[2:]:
        running.append(spawn(daemon, layout.logs, prefix=prefix))
    # The controllers have started once the namespace `default` has its service account: pods can be created
    # then.
    service_account = "/api/v1/namespaces/default/serviceaccounts/default"
    wait_until(
        lambda: api.answers(service_account), "start of the controllers", seconds=READY_SECONDS, alive=running
    )
    return kubeconfig


def _wait(running: Sequence[Running], lifeline: int | None) -> None:
    while True:
        ends, _, _ = select.select([] if lifeline is None else [lifeline], [], [], 1.0)
        if ends:
            return
        for daemon in running:
            daemon.require_alive()


def _free_ports() -> Ports:
    """Free ports under the range from which the kernel draws those of outgoing connections."""
    found: list[int] = []
    while len(found) < 3:
        port = random.randrange(20_000, 32_000)
        if port in found:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((_ADDRESS, port))
            except OSError:
                continue
        found.append(port)
    return Ports(api=found[0], etcd=found[1], etcd_peer=found[2], controller_manager=0, scheduler=0)


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(paths.PACKAGE.parent), *([inherited] if inherited else [])])


__all__ = ["ControlPlane", "ControlPlaneError", "DaemonError", "supervise"]
