"""The chart with a real cert-manager: what is served, who trusts it, and that a renewal disturbs nobody."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from findings_table import COMPLETE
from onenode import ControlPlane, daemons, paths
from onenode.binaries import beside, binary
from operator_rig import OperatorProcess, wait_until
from released_chart import Release
from webhook_rig import INVALID, Author, answers

pytestmark = pytest.mark.skipif(
    not (paths.BIN / "cert-manager").exists(),
    reason="make test-cert-manager builds cert-manager and runs this",
)

CRDS = Path(__file__).parents[3] / "crds"
BY_CERT_MANAGER = "--set=tls.certManager.issuerRef.name=ours"


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane of its own, with cert-manager and our CRDs."""
    with ControlPlane() as plane:
        for crds in (beside("cert-manager") / "crds", CRDS):
            plane.kubectl("apply", "--server-side", "-f", str(crds))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        command = (str(binary("cert-manager")), f"--kubeconfig={plane.kubeconfig}")
        daemon = daemons.Daemon("cert-manager", command)
        cert_manager = daemons.spawn(
            daemon, plane.folder / "logs", prefix=("setpriv", "--pdeathsig", "KILL", "--")
        )
        try:
            yield plane
            cert_manager.require_alive()
        finally:
            print(daemons.tail(cert_manager.log, 10_000))
            cert_manager.kill()


def prepared(control_plane: ControlPlane, name: str) -> Release:
    """A release that is not deployed yet, and in its namespace the issuer `ours`, with its own authority."""
    control_plane.kubectl("create", "namespace", name)
    release = Release(control_plane, name)
    root = {"kind": "Issuer", "metadata": {"name": "root"}, "spec": {"selfSigned": {}}}
    spec = {
        "isCA": True,
        "commonName": f"authority of {name}",
        "secretName": "authority",
        "issuerRef": {"name": "root"},
        "privateKey": {"algorithm": "ECDSA"},
    }
    authority = {"kind": "Certificate", "metadata": {"name": "authority"}, "spec": spec}
    ours = {"kind": "Issuer", "metadata": {"name": "ours"}, "spec": {"ca": {"secretName": "authority"}}}
    manifests = [{"apiVersion": "cert-manager.io/v1", **manifest} for manifest in (root, authority, ours)]
    release.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    return release


@pytest.fixture(scope="module")
def release(control_plane: ControlPlane) -> Release:
    """The chart, released with cert-manager's certificate."""
    release = prepared(control_plane, "kept")
    release.deploy(BY_CERT_MANAGER)
    return release


@pytest.fixture(scope="module")
def operator(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """Started at once, as by helm: it has to wait for the Secret."""
    with release.operator(tmp_path_factory.mktemp("kept")) as process:
        wait_until("the API server asks the webhook", lambda: answers(author(release)))
        yield process


def author(release: Release) -> Author:
    return Author(release.control_plane, release.name)


def renew(release: Release, certificate: str) -> None:
    """What `cmctl renew` does."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = release.get("certificate", certificate)
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "lastTransitionTime": now}
    conditions = [c for c in found["status"]["conditions"] if c["type"] != "Issuing"] + [issuing]
    patch = json.dumps({"status": {"conditions": conditions}})
    release.kubectl("patch", "certificate", certificate, "--subresource=status", "--type=merge", "-p", patch)


def admitted_until(release: Release, what: str, probe: Callable[[], bool]) -> None:
    """Wait for `probe`, while somebody keeps on submitting jobs; none may be refused."""
    person = author(release)
    job = person.job("probe", COMPLETE)

    def admitted_and_done() -> bool:
        person.done("create", "--dry-run=server", "-f", "-", stdin=job)
        return probe()

    wait_until(what, admitted_and_done)


def served_everywhere(release: Release) -> str:
    """What pods and the API server see (PEM); empty while that differs, or the authority does not fit."""
    authority = release.secret("kept-tls")["ca.crt"]
    served = {release.served(port, authority) for port in (release.status_port, release.webhook_port)}
    return served.pop() if len(served) == 1 else ""


def still_runs(operator: OperatorProcess) -> bool:
    return operator.process is not None and operator.process.poll() is None


def test_the_issuers_certificate_is_served_and_its_authority_trusted(
    release: Release, operator: OperatorProcess
) -> None:
    secret = release.secret("kept-tls")
    assert set(secret) == {"tls.crt", "tls.key", "ca.crt"}
    assert secret["ca.crt"] == release.secret("authority")["tls.crt"]
    assert served_everywhere(release) == secret["tls.crt"]
    assert release.trusted() == secret["ca.crt"]


def test_an_invalid_job_is_refused_in_the_validators_words(
    release: Release, operator: OperatorProcess
) -> None:
    person = author(release)
    said = person.refused("create", "-f", "-", stdin=person.job("invalid", INVALID))
    assert 'The FineTuneJob "invalid" is invalid: spec.resources.sharedMemory: ' in said


def test_pods_are_given_the_issuers_authority(release: Release, operator: OperatorProcess) -> None:
    person = author(release)
    person.done("create", "-f", "-", stdin=person.job("tune", COMPLETE))
    attempt = wait_until("the attempt is there", lambda: person.kubectl("get", "configmap", "tune-1").stdout)
    assert attempt
    assert release.get("configmap", "tune-1")["data"]["ca.crt"] == release.secret("authority")["tls.crt"]


def test_a_renewal_needs_no_restart_and_refuses_nobody(release: Release, operator: OperatorProcess) -> None:
    first, authority = served_everywhere(release), release.trusted()
    renew(release, "kept")
    admitted_until(
        release, "the renewed one is served", lambda: served_everywhere(release) not in {"", first}
    )
    assert served_everywhere(release) == release.secret("kept-tls")["tls.crt"]
    assert release.trusted() == authority
    assert still_runs(operator)


def test_a_deleted_secret_comes_back_and_refuses_nobody(release: Release, operator: OperatorProcess) -> None:
    first = served_everywhere(release)
    release.kubectl("delete", "secret", "kept-tls")
    again = ("get", "secret", "kept-tls", "--ignore-not-found", "-o", "name")
    admitted_until(release, "the Secret is back", lambda: bool(release.kubectl(*again)))
    admitted_until(release, "the new one is served", lambda: served_everywhere(release) not in {"", first})
    assert still_runs(operator)


def test_an_upgrade_of_the_release_leaves_the_authority_in_place(
    release: Release, operator: OperatorProcess
) -> None:
    authority = release.trusted()
    release.deploy(BY_CERT_MANAGER, "--set=webhook.timeoutSeconds=7")
    assert release.trusted() == authority
    [webhook] = release.get("validatingwebhookconfiguration", "kept")["webhooks"]
    assert webhook["timeoutSeconds"] == 7


def test_a_new_authority_is_trusted_beside_the_old_one(release: Release, operator: OperatorProcess) -> None:
    old = release.trusted()
    renew(release, "authority")
    wait_until("the authority is another", lambda: release.secret("authority")["tls.crt"] != old)
    renew(release, "kept")
    new = release.secret("authority")["tls.crt"]
    wait_until("it has signed the certificate", lambda: release.secret("kept-tls")["ca.crt"] == new)
    wait_until("both are trusted", lambda: old in release.trusted() and new in release.trusted())
    wait_until("the API server asks the webhook", lambda: answers(author(release)))
    leaf = release.secret("kept-tls")["tls.crt"]
    wait_until("what it has signed is served", lambda: served_everywhere(release) == leaf)
    assert release.served(release.status_port, old) == "", "whoever trusts the old authority alone"
    assert still_runs(operator)


def test_a_release_moves_to_cert_manager_and_back(control_plane: ControlPlane, tmp_path: Path) -> None:
    release = prepared(control_plane, "moved")

    def asked() -> str:
        """Run the operator until the API server asks it; returns the authority that is trusted then."""
        with release.operator(tmp_path):
            wait_until("the API server asks the webhook", lambda: answers(author(release)))
            return release.secret("moved-tls")["ca.crt"]

    release.deploy()
    own = asked()
    release.deploy(BY_CERT_MANAGER)
    issuers = release.secret("authority")["tls.crt"]
    wait_until("cert-manager has written", lambda: release.secret("moved-tls")["ca.crt"] == issuers)
    assert own != issuers == asked()
    assert "ca.key" in release.secret("moved-tls"), "what is left of our own authority"
    release.deploy()
    assert asked() == issuers
