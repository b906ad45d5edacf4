import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_images import host

Read = Callable[..., host.HostSettings]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads the settings of a machine with the given environment, and nothing configured but that."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(host, "_pip_configuration", dict)
    monkeypatch.setattr(host, "apt_sources", lambda: None)
    return lambda **environment: host.read({"PATH": "/usr/bin"} | environment)


def test_a_machine_without_settings_brings_nothing(read: Read) -> None:
    settings = read()
    assert settings.variables == {}
    assert settings.files == {}
    assert settings.volumes() == []


def test_an_index_and_its_password_reach_both_installers(read: Read) -> None:
    variables = read(PIP_INDEX_URL="https://me:s3cret@index.example/simple").variables
    assert variables["PIP_INDEX_URL"] == "https://me:s3cret@index.example/simple"


def test_what_pip_is_configured_with_is_said_to_uv_too(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_pip_configuration", lambda: {"index-url": "https://index.example/simple"})
    assert read().variables == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "UV_DEFAULT_INDEX": "https://index.example/simple",
    }


def test_the_first_certificate_file_that_exists_goes_along(read: Read, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("CERTIFICATE")
    settings = read(SSL_CERT_FILE=str(tmp_path / "missing.pem"), PIP_CERT=str(bundle))
    assert settings.files == {"ca.crt": "CERTIFICATE"}
    assert settings.variables["SSL_CERT_FILE"] == "/run/host/ca.crt"


def test_a_folder_of_wheels_is_mounted_and_an_empty_one_left_alone(read: Read, tmp_path: Path) -> None:
    wheels, empty = tmp_path / "wheels", tmp_path / "empty"
    wheels.mkdir()
    empty.mkdir()
    (wheels / "a.whl").touch()
    settings = read(PIP_FIND_LINKS=f"{empty} {wheels} https://wheels.example/")
    assert settings.volumes() == [f"{wheels}:/run/host-links/0:ro"]
    assert settings.variables["PIP_FIND_LINKS"] == "https://wheels.example/ /run/host-links/0"


def test_the_script_gives_back_files_and_variables_to_the_byte(tmp_path: Path) -> None:
    text = 'it\'s\n$HOME `date` "quoted" \\n %s\n'
    script = (
        host.HostSettings({"SECRET": text}, {"netrc": text})
        .script()
        .replace(host.FOLDER, str(tmp_path / "h"))
    )
    shown = subprocess.run(
        ["sh", "-c", '. "$0" && printf %s "$SECRET"', "/dev/stdin"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == text
    assert (tmp_path / "h" / "netrc").read_text() == text
