"""Servers of trackers, started for a test from an environment of their own (scripts/tracker-servers)."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from finetune_trainer.distributed import free_port

ROOT = Path(__file__).parents[2]
SECONDS = 240.0
"""Limit for a server to answer. Alone on two cores it takes 5 to 15 seconds."""


def server_programs() -> Path:
    """Where the servers' programs are; installs them the first time."""
    done = subprocess.run([ROOT / "scripts" / "tracker-servers"], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip()).parent


@contextmanager
def mlflow_server(directory: Path) -> Iterator[str]:
    """The address of an MLflow server that keeps its data in a directory."""
    port = free_port()
    command = [
        server_programs() / "mlflow",
        *("server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{directory}/mlflow.db"),
        *("--artifacts-destination", directory / "artifacts"),
    ]
    address = f"http://127.0.0.1:{port}"
    with _serving(command, {}, f"{address}/health", directory):
        yield address


@contextmanager
def phoenix_server(directory: Path) -> Iterator[str]:
    """The address of a Phoenix server that keeps its data in a directory."""
    port = free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(directory),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    address = f"http://127.0.0.1:{port}"
    with _serving([server_programs() / "phoenix", "serve"], environment, f"{address}/healthz", directory):
        yield address


TRACKIO = """
import sys, trackio
trackio.show(open_browser=False, block_thread=True, server_port=int(sys.argv[1]))
"""


@contextmanager
def trackio_server(directory: Path, token: str) -> Iterator[str]:
    """The address of a Trackio server (of the trainer's own environment) that keeps its data in a
    directory."""
    port = free_port()
    environment = {"TRACKIO_DIR": str(directory), "TRACKIO_WRITE_TOKEN": token}
    address = f"http://127.0.0.1:{port}"
    with _serving([sys.executable, "-c", TRACKIO, str(port)], environment, address, directory):
        yield address


@contextmanager
def _serving(
    command: Sequence[str | Path], environment: Mapping[str, str], health: str, directory: Path
) -> Iterator[None]:
    """A server that answers at `health`, ended with the block."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log = directory / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=clean | dict(environment),
            cwd=directory,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not _answers(health):
            assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"the server does not answer: {log.read_text()[-2000:]}"
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5.0):
            return True
    except OSError:
        return False
