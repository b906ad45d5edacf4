"""The HTTPS endpoint: what it takes, what it refuses and in which words. Real TLS over loopback."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from finetune_api import ProgressReport
from finetune_api.protocol import MAX_REPORT_BYTES, status_path
from finetune_operator.allowance import Allowance
from finetune_operator.keys import JobKey
from finetune_operator.metrics import Metrics
from finetune_operator.serving.certificates import new_authority, new_leaf
from finetune_operator.serving.status_server import StatusServer
from finetune_operator.serving.status_server.auth import BoundPod, Reporter
from finetune_operator.serving.status_server.refusal import RefusedError

KEY = JobKey("team", "tune")
PATH = status_path("team", "tune", 3)
REPORT = {"trainerStatus": {"progressPercentage": 42}}


class Doorkeeper:
    """Admits whoever says `good`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, JobKey, int]] = []

    async def admit(self, token: str, key: JobKey, attempt: int) -> Reporter:
        self.asked.append((token, key, attempt))
        if token != "good":
            raise RefusedError(401, "Unauthorized", "no")
        return Reporter(BoundPod(key.namespace, "pod", "uid"), "ftj-uid")


class Endpoint:
    """A running server and a client that trusts it."""

    def __init__(self, clock: Any) -> None:
        self.doorkeeper = Doorkeeper()
        self.received: list[tuple[JobKey, str, int, ProgressReport]] = []
        self.metrics = Metrics()
        self.port = 0
        self.client: aiohttp.ClientSession
        self.server = StatusServer(
            self.doorkeeper,
            Allowance(1.0, 3, clock),
            lambda *report: self.received.append(report),
            self.metrics,
        )

    async def send(
        self, body: Any = None, *, token: str = "good", path: str = PATH, method: str = "POST"
    ) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(REPORT if body is None else body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://localhost:{self.port}{path}"
        async with self.client.request(method, url, data=data, headers=headers) as answer:
            text = await answer.text()
            self.headers = answer.headers
            return answer.status, json.loads(text)

    async def refused(self, *args: Any, **kwargs: Any) -> tuple[int, str]:
        status, answer = await self.send(*args, **kwargs)
        return status, answer["error"]["code"]


@pytest.fixture
async def endpoint(clock: Any, tmp_path: Path) -> AsyncIterator[Endpoint]:
    now = datetime.now(UTC)
    authority = new_authority("test", now)
    leaf = new_leaf(authority, ["localhost"], now)
    (tmp_path / "crt").write_text(leaf.certificate)
    (tmp_path / "key").write_text(leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    running = Endpoint(clock)
    running.port = await running.server.start("127.0.0.1", 0, context)
    trust = ssl.create_default_context(cadata=authority.certificate)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as running.client:
        yield running
    await running.server.stop()


async def test_takes_a_report_and_hands_it_over(endpoint: Endpoint) -> None:
    assert await endpoint.send() == (200, {"accepted": True})
    [(key, uid, attempt, report)] = endpoint.received
    assert (key, uid, attempt, report.trainer_status.progress_percentage) == (KEY, "ftj-uid", 3, 42)
    assert endpoint.doorkeeper.asked == [("good", KEY, 3)]


async def test_tolerates_what_it_does_not_know(endpoint: Endpoint) -> None:
    assert (await endpoint.send({"trainerStatus": {"novelty": 1}, "more": 2}))[0] == 200


async def test_refuses_a_bad_token_before_it_reads_the_report(endpoint: Endpoint) -> None:
    assert await endpoint.refused(b"not json", token="bad") == (401, "Unauthorized")
    assert endpoint.received == []


async def test_does_not_wait_for_the_rest_of_a_report_for_ever(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_operator.serving.status_server.server.READ_SECONDS", 0.05)
    answered = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b'{"trainerStatus": '
        await answered.wait()

    headers = {"Authorization": "Bearer good"}
    url = f"https://localhost:{endpoint.port}{PATH}"
    async with endpoint.client.post(url, data=half(), headers=headers) as answer:
        assert answer.status == 408
        answered.set()
    assert endpoint.received == []


async def test_refuses_a_report_without_a_token(endpoint: Endpoint) -> None:
    assert await endpoint.refused(token="") == (401, "Unauthorized")
    assert endpoint.doorkeeper.asked == []


async def test_refuses_what_is_not_json(endpoint: Endpoint) -> None:
    assert await endpoint.refused(b"{") == (400, "NotJson")
    assert await endpoint.refused(b"\xff\xfe") == (400, "NotJson")
    assert await endpoint.refused(b"[" * 20_000) == (400, "NotJson")


async def test_names_the_field_that_breaks_the_protocol(endpoint: Endpoint) -> None:
    status, answer = await endpoint.send({"trainerStatus": {"progressPercentage": 101}})
    assert (status, answer["error"]["code"]) == (422, "InvalidReport")
    assert "trainerStatus.progressPercentage" in answer["error"]["message"]


@pytest.mark.parametrize("body", [[], "text", 1, None, {}], ids=repr)
async def test_refuses_json_that_is_no_report(endpoint: Endpoint, body: Any) -> None:
    assert await endpoint.refused(json.dumps(body).encode()) == (422, "InvalidReport")


async def test_refuses_a_report_that_is_too_large(endpoint: Endpoint) -> None:
    assert await endpoint.refused(b" " * (MAX_REPORT_BYTES + 1)) == (413, "ReportTooLarge")


async def test_asks_a_job_that_reports_too_often_to_wait(endpoint: Endpoint) -> None:
    for _ in range(3):
        await endpoint.send()
    assert await endpoint.refused() == (429, "TooManyReports")
    assert endpoint.headers["Retry-After"] == "1"


async def test_a_stranger_does_not_use_up_the_allowance_of_a_job(endpoint: Endpoint) -> None:
    for _ in range(10):
        await endpoint.send(token="bad")
    assert (await endpoint.send())[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/", (404, "NotFound")),
        ("POST", "/v1alpha1/namespaces/team/finetunejobs/tune/attempts/x/status", (404, "NotFound")),
        ("GET", PATH, (405, "MethodNotAllowed")),
    ],
)
async def test_other_paths_and_methods_are_refused(
    endpoint: Endpoint, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert await endpoint.refused(method=method, path=path) == expected


async def test_outcomes_are_counted(endpoint: Endpoint) -> None:
    await endpoint.send()
    await endpoint.send(token="bad")
    exposition = endpoint.metrics.exposition().decode()
    assert 'finetune_reports_total{outcome="accepted"} 1.0' in exposition
    assert 'finetune_reports_total{outcome="Unauthorized"} 1.0' in exposition
