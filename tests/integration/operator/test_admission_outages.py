"""Certificates that are renewed, and an operator that is away: what the API server makes of it.

The webhook is registered with failurePolicy Fail.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from findings_table import COMPLETE
from finetune_operator.serving.certificates import new_authority, new_leaf
from onenode import ControlPlane
from operator_rig import Manifest, OperatorProcess, free_port, running, wait_until
from webhook_rig import CONFIGURATION, INVALID, Author, answers, authors_namespace, registered


def test_a_renewed_certificate_is_trusted_and_served_without_a_restart(
    control_plane: ControlPlane, installation: Path, rendered_chart: list[Manifest], tmp_path: Path
) -> None:
    port = free_port()
    settings: dict[str, Any] = {
        "webhook": {"host": "127.0.0.1", "port": port, "configuration": CONFIGURATION},
        "certificateCheckSeconds": 0.2,
    }
    with authors_namespace(control_plane) as author:
        settings |= {"namespace": author.namespace, "watchNamespaces": [author.namespace]}
        with (
            registered(author, rendered_chart, port) as trusted,
            running(tmp_path, control_plane.kubeconfig, **settings) as operator,
        ):
            first = trusted()
            wait_until("the API server asks the webhook", lambda: answers(author))
            author.done("delete", "secret", "finetune-operator-tls")
            wait_until("another authority is registered", lambda: trusted() not in {"", first})
            wait_until("the API server trusts the new certificate", lambda: answers(author))
            assert not_restarted(operator)


def given_secret(author: Author, name: str) -> str:
    """A Secret as cert-manager keeps it, without the authority's key; returns the authority."""
    now = datetime.now(UTC)
    authority = new_authority(name, now)
    leaf = new_leaf(authority, ["localhost"], now)
    files = {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": authority.certificate}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "given"},
        "type": "kubernetes.io/tls",
        "stringData": files,
    }
    author.done("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=secret)
    return authority.certificate


def test_a_given_secret_is_served_and_followed_when_its_owner_renews_it(
    control_plane: ControlPlane, installation: Path, rendered_chart: list[Manifest], tmp_path: Path
) -> None:
    port = free_port()
    status_server = {"host": "127.0.0.1", "port": free_port(), "tlsSecret": "given", "makeCertificate": False}
    settings: dict[str, Any] = {
        "webhook": {"host": "127.0.0.1", "port": port, "configuration": CONFIGURATION},
        "certificateCheckSeconds": 0.2,
        "statusServer": status_server,
    }
    with authors_namespace(control_plane) as author:
        settings |= {"namespace": author.namespace, "watchNamespaces": [author.namespace]}
        first = given_secret(author, "first")
        with (
            registered(author, rendered_chart, port) as trusted,
            running(tmp_path, control_plane.kubeconfig, **settings) as operator,
        ):
            assert trusted() == first
            wait_until("the API server asks the webhook", lambda: answers(author))
            author.done("patch", "secret", "given", "-p", json.dumps({"stringData": {"tls.key": "half"}}))
            wait_until("the operator sees the broken pair", lambda: "cannot be served" in operator.log())
            assert answers(author), "with the first certificate still"
            second = given_secret(author, "second")
            wait_until("the second authority is registered", lambda: trusted() == second)
            wait_until("the API server trusts the second certificate", lambda: answers(author))
            assert not_restarted(operator)


def not_restarted(operator: OperatorProcess) -> bool:
    return operator.process is not None and operator.process.poll() is None


def test_while_the_operator_is_down_only_new_specs_wait_for_it(
    control_plane: ControlPlane, installation: Path, rendered_chart: list[Manifest], tmp_path: Path
) -> None:
    with authors_namespace(control_plane) as author:
        author.done("create", "-f", "-", stdin=author.job("old", INVALID))
        with registered(author, rendered_chart, free_port()):
            job = author.job("new", COMPLETE)
            dry = ("create", "--dry-run=server", "-f", "-")
            wait_until(
                "the API server asks the webhook, in vain",
                lambda: "failed calling webhook" in author.kubectl(*dry, stdin=job).stderr,
            )
            author.done("label", "ftj", "old", "team=a")
            author.done("delete", "ftj", "old", "--timeout=20s")
