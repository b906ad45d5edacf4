"""Reports reach the server with the token of the moment, and never hold up training."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from finetune_api import ProgressReport, TrainingResult
from finetune_api.conditions import Reason
from finetune_trainer.reporting import FileSink, Pace, Reporter, ServerSink, sinks
from waiting import wait_until

DEADLINE = 10.0
FAST = Pace(interval=0.05, heartbeat=60.0, timeout=2.0, farewell=2.0)


class StatusServer(HTTPServer):
    """Remembers what it was sent; answers `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.received: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, StatusServer)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.tokens.append(self.headers.get("Authorization"))
        if server.status == 200:
            server.received.append(json.loads(body))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Blackhole:
    """A sink that does not answer until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.entered = threading.Event()

    def send(self, report: ProgressReport, timeout: float) -> None:  # noqa: ARG002 - the protocol's
        self.entered.set()
        self.let_go.wait(timeout)
        raise TimeoutError("no answer")


class Memory:
    """A sink that keeps reports, after failing so many times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.reports: list[ProgressReport] = []

    def send(self, report: ProgressReport, timeout: float) -> None:  # noqa: ARG002 - the protocol's
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError("nobody there")
        self.reports.append(report)

    def steps(self) -> list[int]:
        return [report.finetune.step for report in self.reports if report.finetune]


@pytest.fixture
def server() -> Iterator[StatusServer]:
    with StatusServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_report_is_kubeflows_with_ours_beside_it(server: StatusServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    reporter = Reporter([ServerSink(f"http://127.0.0.1:{server.server_port}/x", token, None)], FAST)
    reporter.update(step=5, total_steps=20, metrics={"loss": "1.5"}, remaining_seconds=30.4, urgent=True)
    reporter.close()
    sent = server.received[-1]
    assert sent["trainerStatus"]["progressPercentage"] == 25
    assert sent["trainerStatus"]["estimatedRemainingSeconds"] == 30
    assert sent["trainerStatus"]["metrics"] == [{"name": "loss", "value": "1.5"}]
    assert (sent["finetune"]["step"], sent["finetune"]["totalSteps"]) == (5, 20)
    assert server.tokens[-1] == "Bearer secret"
    ProgressReport.from_json_object(sent)


def test_the_token_is_read_anew_for_each_report(server: StatusServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    sink = ServerSink(f"http://127.0.0.1:{server.server_port}", token, None)
    report = ProgressReport.from_json_object({"trainerStatus": {}})
    sink.send(report, 2.0)
    token.write_text("second")
    sink.send(report, 2.0)
    assert server.tokens == ["Bearer first", "Bearer second"]


def test_reports_go_past_a_proxy_that_the_job_names_for_downloads(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    report = ProgressReport.from_json_object({"trainerStatus": {}})
    ServerSink(f"http://127.0.0.1:{server.server_port}", None, None).send(report, 5.0)
    assert len(server.received) == 1


def test_the_servers_certificate_must_be_the_given_authoritys(server: StatusServer, tmp_path: Path) -> None:
    certificate, other = self_signed(tmp_path / "a.pem"), self_signed(tmp_path / "b.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}"
    report = ProgressReport.from_json_object({"trainerStatus": {}})
    ServerSink(url, None, certificate).send(report, 5.0)
    assert len(server.received) == 1
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        ServerSink(url, None, other).send(report, 5.0)


def test_an_answer_that_is_not_ok_is_tried_again(server: StatusServer) -> None:
    server.status = 503
    reporter = Reporter([ServerSink(f"http://127.0.0.1:{server.server_port}", None, None)], FAST)
    reporter.update(step=3, urgent=True)
    wait_until("a first try", lambda: server.tokens)
    server.status = 200
    reporter.close()
    assert server.received[-1]["finetune"]["step"] == 3


def test_a_server_that_does_not_answer_costs_training_nothing() -> None:
    hole = Blackhole()
    reporter = Reporter([hole], Pace(interval=0.01, heartbeat=60, timeout=30, farewell=0.1))
    assert hole.entered.wait(DEADLINE)
    begin = time.monotonic()
    for step in range(10_000):
        reporter.update(step=step, metrics={"loss": str(step)})
    assert time.monotonic() - begin < 5.0
    assert reporter.report.step == 9_999
    hole.let_go.set()
    reporter.close()


def test_what_could_not_be_sent_is_part_of_the_next_report() -> None:
    memory = Memory(failures=3)
    reporter = Reporter([memory], FAST)
    reporter.update(step=1, checkpoints=None, metrics={"loss": "2"}, urgent=True)
    reporter.update(step=2, metrics={"gradNorm": "1"})
    reporter.close()
    last = memory.reports[-1]
    assert last.finetune is not None
    assert last.finetune.step == 2
    assert {metric.name for metric in last.trainer_status.metrics} == {"loss", "gradNorm"}


def test_reports_are_coalesced_but_urgent_ones_go_at_once() -> None:
    memory = Memory()
    reporter = Reporter([memory], Pace(interval=60, heartbeat=120, timeout=1, farewell=1))
    wait_until("the first report", lambda: memory.reports)
    for step in range(1, 100):
        reporter.update(step=step)
    reporter.update(step=100, urgent=True)
    wait_until("the urgent report", lambda: 100 in memory.steps())
    assert len(memory.reports) <= 3
    reporter.close()


def test_a_heartbeat_is_sent_when_nothing_changes() -> None:
    memory = Memory()
    reporter = Reporter([memory], Pace(interval=0.01, heartbeat=0.05, timeout=1, farewell=1))
    wait_until("a third report", lambda: len(memory.reports) >= 3)
    reporter.close()


def test_hundred_percent_is_kept_for_success() -> None:
    memory = Memory()
    reporter = Reporter([memory], FAST)
    reporter.update(step=20, total_steps=20, urgent=True)
    wait_until("the last step's report", lambda: 20 in memory.steps())
    assert memory.reports[-1].trainer_status.progress_percentage == 99
    result = TrainingResult(outcome="succeeded", reason=Reason.SUCCEEDED, exit_code=0, step=20)
    reporter.update(result=result, urgent=True)
    reporter.close()
    assert memory.reports[-1].trainer_status.progress_percentage == 100
    assert memory.reports[-1].finetune is not None
    assert memory.reports[-1].finetune.result == result


def test_local_reports_are_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    found = sinks({"FINETUNE_REPORT_FILE": str(path)})
    assert found == [FileSink(path)]
    reporter = Reporter(found, FAST)
    reporter.update(step=1, urgent=True)
    reporter.close()
    last = json.loads(path.read_text().splitlines()[-1])
    assert last["finetune"]["step"] == 1


def test_the_environment_names_server_token_and_authority() -> None:
    environment = {
        "KUBEFLOW_TRAINER_SERVER_URL": "https://operator/x",
        "KUBEFLOW_TRAINER_SERVER_TOKEN": "/t",
        "KUBEFLOW_TRAINER_SERVER_CA_CERT": "/c",
    }
    assert sinks(environment) == [ServerSink("https://operator/x", Path("/t"), Path("/c"))]
    assert sinks({}) == []


def test_without_a_place_to_report_to_nothing_runs() -> None:
    reporter = Reporter([])
    reporter.update(step=7)
    reporter.close()
    assert reporter.report.step == 7
    assert not [thread for thread in threading.enumerate() if thread.name == "reporter"]


def self_signed(path: Path) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path
