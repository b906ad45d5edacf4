"""Which provider makes the cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from onenode import kind


@pytest.fixture(autouse=True)
def fresh_answer() -> Iterator[None]:
    kind._docker_answers.cache_clear()
    yield
    kind._docker_answers.cache_clear()


def _docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv(kind.CHOICE, raising=False)


def test_kind_is_preferred_where_a_docker_engine_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _docker(tmp_path, monkeypatch, status=0)
    assert kind.is_preferred()


def test_a_docker_client_without_an_engine_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _docker(tmp_path, monkeypatch, status=1)
    assert not kind.is_preferred()


@pytest.mark.parametrize(("choice", "expected"), [("kind", True), ("processes", False)])
def test_the_choice_of_the_user_decides(monkeypatch: pytest.MonkeyPatch, choice: str, expected: bool) -> None:
    monkeypatch.setenv(kind.CHOICE, choice)
    assert kind.is_preferred() is expected


def test_a_choice_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kind.CHOICE, "minikube")
    with pytest.raises(kind.KindError, match="minikube is neither"):
        kind.is_preferred()


def test_kind_is_given_its_own_cluster_and_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "calls"
    program = tmp_path / "kind"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(kind.paths, "KUBECONFIG", tmp_path / "kubeconfig")
    monkeypatch.setattr(kind.binaries, "build", lambda _names: None)
    kind.up()
    kind.load(Path("image.tar"))
    kind.down()
    calls = log.read_text().splitlines()
    assert calls[1].startswith(f"create cluster --name finetune-onenode --kubeconfig {tmp_path}/kubeconfig")
    assert calls[2] == "load image-archive image.tar --name finetune-onenode"
    assert calls[3] == f"delete cluster --name finetune-onenode --kubeconfig {tmp_path}/kubeconfig"
