"""The endpoint that the API server asks: what it answers, and that no fault of ours stops a user."""

import io
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from finetune_operator.metrics import Metrics
from finetune_operator.serving import admission_server
from finetune_operator.serving.admission_server import PATH, UNCHECKED, AdmissionServer
from finetune_operator.serving.certificates import new_authority, new_leaf

JOB = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "tune"},
    "spec": {
        "model": {"id": "organisation/model"},
        "dataset": {"format": "alpaca", "train": {"hub": {"id": "organisation/data"}}},
        "checkpoints": {"storage": {"claimName": "models"}},
    },
}
REVIEW: dict[str, Any] = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "7", "operation": "CREATE", "object": JOB, "dryRun": True, "userInfo": {}},
}


class Endpoint:
    """A running server and a client that trusts it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.server = AdmissionServer(self.metrics, lambda _: {})
        self.client: aiohttp.ClientSession
        self.port = 0

    async def ask(self, body: Any = REVIEW) -> tuple[int, str]:
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self.client.post(f"https://localhost:{self.port}{PATH}", data=data) as answer:
            return answer.status, await answer.text()

    async def response(self, body: Any = REVIEW) -> Any:
        status, text = await self.ask(body)
        assert status == 200, text
        return json.loads(text)["response"]

    def counted(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("finetune_admissions_total", {"outcome": outcome})


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    now = datetime.now(UTC)
    authority = new_authority("test", now)
    leaf = new_leaf(authority, ["localhost"], now)
    (tmp_path / "crt").write_text(leaf.certificate)
    (tmp_path / "key").write_text(leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    running = Endpoint()
    running.port = await running.server.start("127.0.0.1", 0, context)
    trust = ssl.create_default_context(cadata=authority.certificate)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as running.client:
        yield running
    await running.server.stop()


def review(**spec: Any) -> dict[str, Any]:
    job = {**JOB, "spec": {**JOB["spec"], **spec}}  # type: ignore[dict-item]
    return {**REVIEW, "request": {**REVIEW["request"], "object": job}}


async def test_a_valid_job_is_allowed(endpoint: Endpoint) -> None:
    response = await endpoint.response()
    assert (response["uid"], response["allowed"]) == ("7", True)
    assert endpoint.counted("allowed") == 1


async def test_an_invalid_job_is_refused_with_the_findings(endpoint: Endpoint) -> None:
    response = await endpoint.response(review(resources={"memory": "64Mi"}))
    assert response["allowed"] is False
    assert "resources.sharedMemory: 1Gi " in response["status"]["message"]
    assert endpoint.counted("refused") == 1


async def test_a_fault_of_ours_lets_the_job_pass_and_says_so_without_a_traceback(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(admission_server, "judge", broken)
    assert await endpoint.response() == {"uid": "7", "allowed": True, "warnings": list(UNCHECKED.warnings)}
    assert endpoint.counted("unchecked") == 1
    assert "KeyError" in caplog.text


async def test_a_job_that_is_nested_beyond_reason_is_no_fault(endpoint: Endpoint) -> None:
    deep: Any = {}
    for _ in range(150):
        deep = {"x": deep}
    response = await endpoint.response(review(distributed={"deepspeedConfig": deep}))
    assert response["uid"] == "7"


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"\xff", {"kind": "AdmissionReview"}, {**REVIEW, "apiVersion": "v1beta1"}],
    ids=["nothing", "no json", "a list", "no text", "no request", "another version"],
)
async def test_what_is_no_review_is_a_bad_request(endpoint: Endpoint, body: Any) -> None:
    status, text = await endpoint.ask(body)
    assert status == 400
    assert "AdmissionReview" in text


async def test_an_object_as_large_as_etcd_takes_is_read(endpoint: Endpoint) -> None:
    annotated = {**JOB, "metadata": {"name": "tune", "annotations": {"x": "y" * 1_500_000}}}
    request = {**REVIEW["request"], "object": annotated, "oldObject": annotated, "operation": "UPDATE"}
    assert (await endpoint.response({**REVIEW, "request": request}))["allowed"] is True
