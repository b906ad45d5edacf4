"""Who is who in the cluster, and who can prove it."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from onenode.certificates import Authority, service_account_keys


def _names(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> list[str | bytes]:
    return [attribute.value for attribute in certificate.subject.get_attributes_for_oid(kind)]


def test_a_client_is_its_common_name_in_groups_that_are_its_organisations(tmp_path: Path) -> None:
    files = Authority(tmp_path, "ca").issue("node", "system:node:one", groups=["system:nodes"])
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert _names(certificate, NameOID.COMMON_NAME) == ["system:node:one"]
    assert _names(certificate, NameOID.ORGANIZATION_NAME) == ["system:nodes"]


def test_a_server_has_its_names_and_addresses(tmp_path: Path) -> None:
    files = Authority(tmp_path, "ca").issue("server", "server", hosts=["kubernetes", "10.0.0.1"])
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


def test_what_one_authority_signs_another_does_not_vouch_for(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours", "ca"), Authority(tmp_path / "theirs", "ca")
    issued = x509.load_pem_x509_certificate(ours.issue("client", "client").certificate.read_bytes())
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(ours.certificate.read_bytes()))
    with pytest.raises(InvalidSignature):
        issued.verify_directly_issued_by(x509.load_pem_x509_certificate(theirs.certificate.read_bytes()))


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    keys = [authority.files.key, authority.issue("client", "client").key, service_account_keys(tmp_path).key]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_opening_again_keeps_what_was_issued(tmp_path: Path) -> None:
    first = Authority(tmp_path, "ca").issue("client", "client").certificate.read_bytes()
    again = Authority(tmp_path, "ca").issue("client", "client").certificate.read_bytes()
    assert again == first
    assert service_account_keys(tmp_path).key.read_bytes() == service_account_keys(tmp_path).key.read_bytes()
