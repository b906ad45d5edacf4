"""The API server is away for a while, or another one answers: the operator goes on from what is true then."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import kopf
import pytest

from api_route import Route, another_api_server, broken_api_server, failing_watches, routed
from onenode import ControlPlane
from operator_rig import Namespace, OperatorProcess, running, wait_until

Served = tuple[OperatorProcess, Route]


@pytest.fixture(scope="module")
def served(
    installation: Path, operator: OperatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """An operator and its way to the API server. That of the other tests sleeps: it would do the work."""
    folder = tmp_path_factory.mktemp("routed-operator")
    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)
    try:
        with (
            routed(installation, folder) as (route, detour),
            running(folder, detour, backoffSeconds=0.1, maxBackoffSeconds=0.5) as other,
        ):
            yield other, route
    finally:
        operator.process.send_signal(signal.SIGCONT)


def test_what_was_wanted_while_the_api_server_was_away_is_done_when_it_is_back(
    namespace: Namespace, served: Served
) -> None:
    operator, route = served
    namespace.submit("first", suspend=True)
    wait_until("the first job waits", lambda: namespace.condition("first", "Suspended"))
    route.cut()
    namespace.submit("second")
    spec = json.dumps({"spec": {"suspend": False}})
    namespace.kubectl("patch", "finetunejob", "first", "--type=merge", "-p", spec)
    assert operator.http("/healthz")[0] == 200
    route.restore()
    namespace.await_child("first-1")
    namespace.await_child("second-1")


REFUSALS = [
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
    HTTPStatus.OK,
]


@pytest.mark.parametrize("status", REFUSALS)
def test_an_api_server_that_answers_errors_is_waited_for(
    namespace: Namespace, served: Served, control_plane: ControlPlane, status: HTTPStatus
) -> None:
    """A load balancer without servers, no etcd behind the API server, kinds unknown to it, a proxy's page."""
    operator, route = served
    namespace.submit("first", suspend=True)
    wait_until("the first job waits", lambda: namespace.condition("first", "Suspended"))
    healthy = route.target
    with broken_api_server(control_plane, status) as (port, asked):
        route.lead_to(port)
        try:
            namespace.submit("second")
            spec = json.dumps({"spec": {"suspend": False}})
            namespace.kubectl("patch", "finetunejob", "first", "--type=merge", "-p", spec)
            wait_until(
                "each watch was tried for longer than Kopf does", lambda: _tried(asked, KOPFS_TRIES + 2)
            )
            assert operator.http("/healthz")[0] == 200
            code, text = operator.http("/readyz")
            assert (code, str(int(status)) in text) == (503, True), text
        finally:
            route.lead_to(healthy)
        wait_until("the operator is ready", operator.ready)
        namespace.await_child("first-1")
        namespace.await_child("second-1")
    assert len(namespace.items("jobs")) == 2
    for name in ("first", "second"):
        wait_until("the status is right", lambda n=name: namespace.condition(n, "Accepted"))


KOPFS_TRIES = len(kopf.OperatorSettings().networking.error_backoffs) + 1
"""So often does Kopf ask by itself, in 54 s, before it ends."""


def _tried(asked: Counter[str], times: int) -> bool:
    watches = [count for path, count in asked.items() if path.endswith(("jobs", "pods", "presets"))]
    return len(watches) == 4 and min(watches) >= times


@pytest.mark.parametrize("code", [403, 429, 500])
def test_an_operator_whose_watches_fail_works_on_and_hears_again_once_they_do_not(
    namespace: Namespace, served: Served, control_plane: ControlPlane, code: int
) -> None:
    """The answer is 200, and an event in it tells of an error: only at 410 does Kopf go on by itself."""
    operator, route = served
    healthy = route.target
    with failing_watches(control_plane, healthy, code) as (port, asked):
        route.lead_to(port)
        try:
            namespace.submit("first")
            wait_until("each watch has failed several times", lambda: _tried(asked, 3))
            namespace.await_child("first-1")
            assert operator.http("/healthz")[0] == 200
            assert f"{code} InternalError: no leader" in operator.log()
        finally:
            route.lead_to(healthy)
    wait_until("the operator is ready", operator.ready)
    namespace.submit("second", failurePolicy={"backoffSeconds": 0})
    namespace.await_pod("second")
    namespace.kubectl("delete", "job", "second-1")
    namespace.await_child("second-2")


def test_an_operator_that_waits_for_the_api_server_can_be_stopped(
    installation: Path, control_plane: ControlPlane, tmp_path: Path
) -> None:
    with (
        routed(installation, tmp_path) as (route, detour),
        running(tmp_path, detour, watchNamespaces=["default"]) as operator,
        broken_api_server(control_plane, HTTPStatus.SERVICE_UNAVAILABLE) as (port, _),
    ):
        route.lead_to(port)
        wait_until("the outage is known", lambda: operator.http("/readyz")[0] == 503)
        assert operator.stop() == 0


def test_a_deletion_that_no_watch_can_tell_of_is_found_at_once(
    namespace: Namespace, served: Served, control_plane: ControlPlane
) -> None:
    """Another API server knows of no change that was made before it started: to a watch it says 410 Gone."""
    _, route = served
    namespace.submit("tune", failurePolicy={"backoffSeconds": 0})
    namespace.await_pod("tune")
    route.cut()
    namespace.kubectl("delete", "job", "tune-1")
    with another_api_server(control_plane) as port:
        route.target = port
        route.restore()
        namespace.await_child("tune-2")
        route.cut()  # before that API server goes
