"""Certificates: a strict client accepts them, and they are renewed in the last third of their life."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from finetune_operator.serving.certificates import (
    LEAF_LIFE,
    KeyPair,
    can_sign,
    is_due,
    names_of,
    new_authority,
    new_leaf,
)

NOW = datetime.now(UTC)
NAMES = ["finetune-operator.system.svc", "localhost"]


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return new_authority("test", NOW)


def test_the_leaf_is_for_the_names_given(authority: KeyPair) -> None:
    assert names_of(new_leaf(authority, NAMES, NOW).certificate) == set(NAMES)


def test_a_strict_client_accepts_the_chain(authority: KeyPair, tmp_path: Path) -> None:
    leaf = new_leaf(authority, NAMES, NOW)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    (tmp_path / "tls.crt").write_text(leaf.certificate)
    (tmp_path / "tls.key").write_text(leaf.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    shake_hands(server, client, "finetune-operator.system.svc")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, client, "another.system.svc")


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    done = [False, False]
    for _ in range(10):
        for i, side in enumerate((here, there)):
            try:
                side.do_handshake()
                done[i] = True
            except ssl.SSLWantReadError:
                pass
        if all(done):
            return
    raise AssertionError("the handshake does not end")


def test_the_authority_may_sign_and_the_leaf_may_not(authority: KeyPair) -> None:
    for pem, may_sign in (
        (authority.certificate, True),
        (new_leaf(authority, NAMES, NOW).certificate, False),
    ):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is may_sign
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.key_cert_sign is may_sign


def test_only_the_authoritys_own_key_can_sign_for_it(authority: KeyPair) -> None:
    assert can_sign(authority)
    assert not can_sign(KeyPair(authority.certificate, new_authority("another", NOW).key))
    assert not can_sign(KeyPair(authority.certificate, "no key"))


@pytest.mark.parametrize(
    ("age", "due"),
    [(timedelta(0), False), (LEAF_LIFE * 0.6, False), (LEAF_LIFE * 0.7, True), (LEAF_LIFE * 2, True)],
)
def test_a_leaf_is_due_in_the_last_third_of_its_life(authority: KeyPair, age: timedelta, due: bool) -> None:
    assert is_due(new_leaf(authority, NAMES, NOW).certificate, NOW + age) is due


def test_keys_do_not_show_in_logs(authority: KeyPair) -> None:
    assert "PRIVATE" not in repr(authority)
