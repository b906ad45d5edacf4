"""The server's certificate: made once, renewed in time, served without a restart, never taken from others."""

import asyncio
import base64
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from finetune_operator.cluster import Manifest, Resource
from finetune_operator.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from finetune_operator.serving import tls
from finetune_operator.serving.certificates import new_authority, new_leaf
from finetune_operator.serving.tls import ServerCertificate

START = datetime.now(UTC)
NAMES = ["finetune-operator.system.svc", "localhost"]


class Secrets:
    """One Secret, with the API server's rules about versions."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.before_write: Callable[[], None] = lambda: None

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        assert (resource.plural, namespace, name) == ("secrets", "system", "tls")
        if self.stored is None:
            raise NotFoundError(name)
        return self.stored

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> dict[str, Any]:
        assert (resource.plural, namespace) == ("secrets", "system")
        self._interfere()
        if self.stored is not None:
            raise AlreadyExistsError("it is there")
        return self.store(manifest)

    async def replace(
        self, resource: Resource, namespace: str, name: str, manifest: Manifest, subresource: str = ""
    ) -> dict[str, Any]:
        assert (resource.plural, namespace, name, subresource) == ("secrets", "system", "tls", "")
        self._interfere()
        if manifest["metadata"]["resourceVersion"] != str(self.version):
            raise ConflictError("it has changed")
        return self.store(manifest)

    def store(self, manifest: Manifest) -> dict[str, Any]:
        self.version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self.version)}
        self.stored = {**manifest, "metadata": metadata}
        return self.stored

    def give(self, **files: str) -> None:
        data = {
            name.replace("_", "."): base64.b64encode(text.encode()).decode() for name, text in files.items()
        }
        self.store({"metadata": {"namespace": "system", "name": "tls"}, "data": data})

    def _interfere(self) -> None:
        interfere, self.before_write = self.before_write, lambda: None
        interfere()


class Calendar:
    """A date that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


def certificate(secrets: Secrets, calendar: Calendar, names: list[str] | None = None) -> ServerCertificate:
    return ServerCertificate(secrets, "system", "tls", names or NAMES, clock=calendar)


async def served_by(server: ServerCertificate) -> str:
    """The leaf that a client gets to see (PEM), after it has verified it."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server.context)
    async with listener:
        client = ssl.create_default_context(cadata=server.authority)
        port = listener.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return ssl.DER_cert_to_PEM_cert(der)


async def test_makes_authority_and_certificate_when_there_are_none(
    secrets: Secrets, calendar: Calendar
) -> None:
    server = certificate(secrets, calendar)
    await server.refresh()
    assert secrets.stored is not None
    assert set(secrets.stored["data"]) == {"tls.crt", "tls.key", "ca.crt", "ca.key"}
    assert "BEGIN CERTIFICATE" in await served_by(server)


async def test_uses_what_is_there(secrets: Secrets, calendar: Calendar) -> None:
    first, second = certificate(secrets, calendar), certificate(secrets, calendar)
    await first.refresh()
    await second.refresh()
    assert secrets.version == 1
    assert second.authority == first.authority


async def test_takes_the_others_certificate_when_another_operator_was_faster(
    secrets: Secrets, calendar: Calendar
) -> None:
    authority = new_authority("other", START)
    leaf = new_leaf(authority, NAMES, START)
    secrets.before_write = lambda: secrets.give(
        tls_crt=leaf.certificate, tls_key=leaf.key, ca_crt=authority.certificate, ca_key=authority.key
    )
    server = certificate(secrets, calendar)
    await server.refresh()
    assert server.authority == authority.certificate


async def test_renews_in_time_without_a_new_authority_and_without_a_restart(
    secrets: Secrets, calendar: Calendar
) -> None:
    server = certificate(secrets, calendar)
    await server.refresh()
    authority, leaf = server.authority, await served_by(server)
    calendar.now += timedelta(days=59)
    await server.refresh()
    assert secrets.version == 1
    calendar.now += timedelta(days=2)
    await server.refresh()
    assert secrets.version == 2
    assert server.authority == authority
    calendar.now = START  # the test's client lives in the present
    assert leaf != secrets_leaf(secrets)


def secrets_leaf(secrets: Secrets) -> str:
    assert secrets.stored is not None
    return base64.b64decode(secrets.stored["data"]["tls.crt"]).decode()


async def test_a_replaced_secret_is_served_without_a_restart(secrets: Secrets, calendar: Calendar) -> None:
    server = certificate(secrets, calendar)
    await server.refresh()
    authority = new_authority("other", START)
    leaf = new_leaf(authority, NAMES, START)
    secrets.give(tls_crt=leaf.certificate, tls_key=leaf.key, ca_crt=authority.certificate)
    await server.refresh()
    assert await served_by(server) == leaf.certificate


async def test_leaves_a_secret_whose_authority_is_not_ours_until_it_has_run_out(
    secrets: Secrets, calendar: Calendar
) -> None:
    authority = new_authority("theirs", START)
    leaf = new_leaf(authority, NAMES, START)
    secrets.give(tls_crt=leaf.certificate, tls_key=leaf.key, ca_crt=authority.certificate)
    calendar.now += timedelta(days=89)
    server = certificate(secrets, calendar)
    await server.refresh()
    assert secrets.version == 1
    assert server.authority == authority.certificate
    calendar.now += timedelta(days=2)
    await server.refresh()
    assert secrets.version == 2
    assert server.authority != authority.certificate


async def test_somebody_elses_secret_is_never_written_but_missed_when_it_has_run_out(
    secrets: Secrets, calendar: Calendar, caplog: pytest.LogCaptureFixture
) -> None:
    authority = new_authority("theirs", START)
    leaf = new_leaf(authority, NAMES, START)
    secrets.give(tls_crt=leaf.certificate, tls_key=leaf.key, ca_crt=authority.certificate)
    server = ServerCertificate(secrets, "system", "tls", NAMES, may_make=False, clock=calendar)
    await server.refresh()
    assert "has run out" not in caplog.text
    calendar.now += timedelta(days=365)
    await server.refresh()
    assert secrets.version == 1
    assert "the certificate in Secret tls has run out: whoever keeps it must renew it" in caplog.text


async def test_a_key_that_is_left_over_from_our_own_authority_signs_nothing_for_another(
    secrets: Secrets, calendar: Calendar
) -> None:
    """cert-manager writes its keys into the Secret and leaves `ca.key` as it is."""
    old, authority = new_authority("ours", START), new_authority("theirs", START)
    leaf = new_leaf(authority, NAMES, START)
    secrets.give(tls_crt=leaf.certificate, tls_key=leaf.key, ca_crt=authority.certificate, ca_key=old.key)
    calendar.now += timedelta(days=80)
    server = certificate(secrets, calendar)
    await server.refresh()
    assert secrets.version == 1
    assert server.authority == authority.certificate


async def test_waits_for_a_secret_that_somebody_else_makes(secrets: Secrets, calendar: Calendar) -> None:
    server = ServerCertificate(secrets, "system", "tls", NAMES, may_make=False, clock=calendar)
    with pytest.raises(NotFoundError):
        await server.refresh()
    assert secrets.stored is None


async def test_a_secret_that_was_handed_over_to_somebody_else_is_left_to_them(
    secrets: Secrets, calendar: Calendar
) -> None:
    await certificate(secrets, calendar).refresh()
    calendar.now += timedelta(days=80)
    server = ServerCertificate(secrets, "system", "tls", NAMES, may_make=False, clock=calendar)
    await server.refresh()
    assert secrets.version == 1


async def test_tells_the_authority_again_and_again_also_after_a_failure(
    secrets: Secrets, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "RETRY_SECONDS", 0)
    server = certificate(secrets, calendar)
    told: list[str] = []

    async def publish(authority: str) -> None:
        told.append(authority)
        if len(told) == 1:
            raise ApiError("not now")
        if len(told) == 2:
            secrets.stored = None  # somebody deletes the Secret: a new authority follows
        if len(told) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await server.keep_fresh(publish, every=0)
    assert told[0] == told[1] != told[2] == server.authority


async def test_makes_a_new_leaf_when_the_service_has_another_name(
    secrets: Secrets, calendar: Calendar
) -> None:
    await certificate(secrets, calendar).refresh()
    moved = certificate(secrets, calendar, ["elsewhere.system.svc", "localhost"])
    await moved.refresh()
    assert secrets.version == 2
    await served_by(moved)


async def test_says_what_an_incomplete_secret_lacks(secrets: Secrets, calendar: Calendar) -> None:
    secrets.give(tls_crt="x")
    with pytest.raises(ValueError, match=r"Secret system/tls lacks tls.key, ca.crt"):
        await certificate(secrets, calendar).refresh()


async def test_says_how_to_mend_somebody_elses_secret_without_promising_another(
    secrets: Secrets, calendar: Calendar
) -> None:
    secrets.give(tls_crt="x", tls_key="x")
    server = ServerCertificate(secrets, "system", "tls", NAMES, may_make=False, clock=calendar)
    with pytest.raises(ValueError, match=r"lacks ca.crt: give it tls.crt, tls.key and ca.crt$"):
        await server.refresh()


@pytest.mark.parametrize("broken", ["another key", "no key", "a key with a password"])
async def test_what_cannot_be_served_leaves_the_old_certificate_in_use(
    secrets: Secrets, calendar: Calendar, broken: str
) -> None:
    server = certificate(secrets, calendar)
    await server.refresh()
    served = await served_by(server)
    authority = new_authority("other", START)
    leaf = new_leaf(authority, NAMES, START)
    key = {
        "another key": new_leaf(authority, NAMES, START).key,
        "no key": "no key",
        "a key with a password": locked(leaf.key),
    }[broken]
    secrets.give(tls_crt=leaf.certificate, tls_key=key, ca_crt=authority.certificate)
    with pytest.raises(ValueError, match=r"Secret system/tls: tls.crt and tls.key cannot be served \("):
        await server.refresh()
    assert await served_by(server) == served


def locked(key: str) -> str:
    parsed = serialization.load_pem_private_key(key.encode(), password=None)
    lock = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    return parsed.private_bytes(serialization.Encoding.PEM, form, lock).decode()


async def test_has_no_authority_before_the_first_load(secrets: Secrets, calendar: Calendar) -> None:
    with pytest.raises(RuntimeError, match="no certificate"):
        _ = certificate(secrets, calendar).authority
