"""What the cluster verbs do with answers of the API server. Log streams are stand-ins here:
tests/integration/cli tries all of these verbs against a real API server, where the kubelet alone is one."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.cluster.client import _refusal, _warning_text
from finetune_cli.cluster.description import describe
from finetune_cli.cluster.follow import phase
from finetune_cli.cluster.output import table_lines
from finetune_cli.commands.logs import lines
from finetune_cli.main import main


class Pods:
    """Answers `logs` from texts."""

    def __init__(self, **texts: list[str]) -> None:
        self.texts = texts

    def logs(self, pod: str, *, follow: bool, tail: int | None) -> Iterator[str]:  # noqa: ARG002
        yield from self.texts[pod][-tail if tail else 0 :]


def printed(pods: Pods, *, follow: bool = False, tail: int | None = None) -> list[str]:
    return list(lines(pods, sorted(pods.texts), follow=follow, tail=tail))  # type: ignore[arg-type]


def test_the_lines_of_a_single_pod_are_printed_as_they_are() -> None:
    assert printed(Pods(a=["1", "2"]), tail=1) == ["2"]


def test_the_lines_of_several_pods_carry_their_names() -> None:
    assert printed(Pods(a=["1"], b=["2"])) == ["a: 1", "b: 2"]


def test_followed_pods_are_read_side_by_side() -> None:
    assert sorted(printed(Pods(a=["1", "2"], b=["3"]), follow=True)) == ["a: 1", "a: 2", "b: 3"]


def test_a_followed_pod_whose_log_cannot_be_read_ends_the_command_with_the_reason() -> None:
    pods = Pods(a=["1"])
    with pytest.raises(KeyError, match="b"):
        list(lines(pods, ["a", "b"], follow=True, tail=None))  # type: ignore[arg-type]


TABLE: dict[str, Any] = {
    "columnDefinitions": [{"name": "Name"}, {"name": "Phase"}, {"name": "Model", "priority": 1}],
    "rows": [{"cells": ["a-long-name", None, "org/m"]}, {"cells": ["b", "Running", ""]}],
}


def test_columns_are_aligned_and_wide_ones_left_out() -> None:
    assert table_lines(TABLE, wide=False) == ["NAME         PHASE", "a-long-name", "b            Running"]
    assert table_lines(TABLE, wide=True)[0] == "NAME         PHASE    MODEL"


@pytest.mark.parametrize(("observed", "expected"), [(2, "Running"), (1, ""), (None, "")])
def test_a_phase_counts_only_if_it_is_about_the_newest_spec(observed: int | None, expected: str) -> None:
    status = {"phase": "Running", "observedGeneration": observed}
    assert phase({"metadata": {"generation": 2}, "status": status}) == expected


def test_a_description_lists_attempts_and_events() -> None:
    job = {
        "metadata": {"name": "a"},
        "spec": {"model": {"path": "/m"}},
        "status": {"attempts": [{"number": 1, "outcome": "Failed"}]},
    }
    event = {"lastTimestamp": "T", "type": "Warning", "reason": "Retry", "message": "again"}
    text = list(describe(job, [event]))
    assert "Model:      /m" in text
    assert text[-4:] == ["Attempts:", "  1: outcome Failed", "Events:", "  T  Warning  Retry  again"]


def test_a_refusal_is_told_in_the_api_server_s_words() -> None:
    refusal = _refusal(404, b'{"reason": "NotFound", "message": "not there"}')
    assert (refusal.status, refusal.reason, str(refusal)) == (404, "NotFound", "not there")
    assert str(_refusal(502, b"bad gateway")) == "bad gateway"


def test_warnings_are_taken_out_of_their_header() -> None:
    assert (
        _warning_text('299 - "training.learningRate: 1 is \\"high\\""')
        == 'training.learningRate: 1 is "high"'
    )


@pytest.mark.parametrize(
    ("job", "line"),
    [
        ({"metadata": {"name": "j", "annotations": {"finetune.dev/preset": "chat"}}}, "Preset:     chat"),
        ({"spec": {"preset": "ours"}}, "Preset:     ours"),
        (
            {"status": {"preset": {"name": "ours", "source": "namespace", "resourceVersion": "7"}}},
            "Preset:     ours (namespace, version 7)",
        ),
    ],
)
def test_a_description_tells_the_preset(job: dict[str, Any], line: str) -> None:
    assert line in list(describe({"metadata": {"name": "j"}, "spec": {}, **job}, []))


@pytest.mark.parametrize(
    "content",
    [
        b"text",
        b"[1]",
        b"{",
        b"clusters: 5",
        bytes(range(256)),
        b"current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
        b"clusters: [{name: c, cluster: {server: 5}}]\nusers: [{name: u, user: {}}]\n",
    ],
)
def test_a_file_that_is_no_kubeconfig_is_said_in_a_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    assert main(["list", "--kubeconfig", str(file)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"no usable kubeconfig ({file}): it has another form. Name one with --kubeconfig" in line


@pytest.mark.parametrize("words", [["list"], ["get", "job"], ["watch", "job"], ["cancel", "job"]])
def test_without_the_kubernetes_client_one_line_says_what_to_install(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("kubernetes", "kubernetes.client", "kubernetes.config", "kubernetes.dynamic"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "pip install '.[operator]'" in line
