"""The operator's process: it starts with the chart's rights, says when it is ready, and ends when told to."""

import json
import signal
from pathlib import Path

import pytest

from onenode import ControlPlane
from operator_rig import SYSTEM, Namespace, OperatorProcess, running, wait_until


def test_is_ready_and_alive_with_the_rights_of_the_chart(operator: OperatorProcess) -> None:
    assert operator.http("/readyz")[0] == 200
    assert operator.http("/healthz")[0] == 200
    wait_until("reconciles are counted", lambda: "finetune_queue_depth 0.0" in operator.http("/metrics")[1])


@pytest.fixture
def scope(namespace: Namespace) -> list[str]:
    """An empty namespace to watch: those of other tests are on their way out, which an operator warns of."""
    return [namespace.name]


def test_logs_are_one_json_object_per_line(installation: Path, tmp_path: Path, scope: list[str]) -> None:
    with running(tmp_path, installation, watchNamespaces=scope) as operator:
        lines = [json.loads(line) for line in operator.log().splitlines()]
    assert any(line["message"].startswith("the operator is up") for line in lines)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert not [line for line in lines if line["level"] in {"WARNING", "ERROR"}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_in_order_on_a_signal(
    installation: Path, tmp_path: Path, scope: list[str], number: signal.Signals
) -> None:
    with running(tmp_path, installation, watchNamespaces=scope) as operator:
        assert operator.stop(number) == 0
        lines = [json.loads(line) for line in operator.log().splitlines()]
    assert not [line for line in lines if line["level"] == "ERROR"]


def test_keeps_the_certificate_of_an_earlier_start(
    installation: Path, tmp_path: Path, control_plane: ControlPlane
) -> None:
    def certificate() -> str:
        return control_plane.kubectl(
            "-n", SYSTEM, "get", "secret", "finetune-operator-tls", "-o", "jsonpath={.data}"
        )

    with running(tmp_path, installation) as operator:
        first = certificate()
        operator.stop()
        operator.start()
        assert certificate() == first


def test_bad_settings_are_refused_at_once_by_field_value_and_rule(installation: Path, tmp_path: Path) -> None:
    operator = OperatorProcess(tmp_path, installation, {"workers": 0})
    with pytest.raises(AssertionError, match=r"workers: 0: Input should be greater than or equal to 1"):
        operator.start()
