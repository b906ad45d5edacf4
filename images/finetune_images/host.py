"""The machine's own package index, certificates and proxies, handed to a build as one secret shell script.

Every RUN that downloads sources the script, which writes what it brings to a tmpfs and sets variables for
that one command. A secret mount leaves nothing in layers, labels or history. Where a machine has no such
settings, the script does nothing.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "/run/host"
"""Where the script puts its files inside of the build: a tmpfs."""

BASE_CODENAME = "bookworm"
"""The Debian release of our images; the machine's apt sources serve the build if it runs the same one."""

_PASSED_ON = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT",
    *(name for proxy in ("http_proxy", "https_proxy", "no_proxy") for name in (proxy, proxy.upper())),
)

_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
}

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class HostSettings:
    """What a build on this machine needs to know of it."""

    variables: Mapping[str, str]
    """Environment of the commands that download."""

    files: Mapping[str, str]
    """Text files by name, to lie in `FOLDER`."""

    find_links: tuple[Path, ...] = ()
    """Folders of wheels; a secret cannot carry them, a volume can."""

    def script(self) -> str:
        """The shell script that brings the settings into a RUN."""
        lines = [f"mkdir -p {FOLDER}"]
        for name, text in sorted(self.files.items()):
            lines.append(f"printf '%s' {shlex.quote(text)} >{FOLDER}/{name}")
        lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.variables.items())]
        return "\n".join([*lines, ""])

    def volumes(self) -> list[str]:
        """`SOURCE:TARGET:ro` for each folder of wheels."""
        return [f"{folder}:{FOLDER}-links/{number}:ro" for number, folder in enumerate(self.find_links)]


def read(environment: Mapping[str, str] | None = None) -> HostSettings:
    """The settings of this machine, from its environment, pip's and uv's configuration, ~/.netrc and apt."""
    environment = os.environ if environment is None else environment
    pip = _pip_configuration()
    variables = _index_variables(environment, pip)
    files: dict[str, str] = {}
    certificates = _certificates(environment, pip)
    if certificates is not None:
        files["ca.crt"] = certificates.read_text()
        variables |= dict.fromkeys(_CERTIFICATE_VARIABLES, f"{FOLDER}/ca.crt")
    netrc = Path(environment.get("NETRC") or Path.home() / ".netrc")
    if netrc.is_file():
        files["netrc"] = netrc.read_text()
        variables["NETRC"] = f"{FOLDER}/netrc"
    uv = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "uv" / "uv.toml"
    if uv.is_file():
        files["uv.toml"] = uv.read_text()
        variables["UV_CONFIG_FILE"] = f"{FOLDER}/uv.toml"
    sources = apt_sources()
    if sources is not None:
        files["apt.list"] = sources
        files["apt.conf"] = _apt_configuration()
        variables["APT_CONFIG"] = f"{FOLDER}/apt.conf"
    links = _find_links(environment, pip)
    folders = tuple(folder for folder in map(Path, links) if folder.is_dir() and any(folder.iterdir()))
    addresses = [link for link in links if "://" in link]
    places = [*addresses, *(f"{FOLDER}-links/{number}" for number in range(len(folders)))]
    if places:
        variables |= {"PIP_FIND_LINKS": " ".join(places), "UV_FIND_LINKS": ",".join(places)}
    return HostSettings(variables, files, folders)


def apt_sources() -> str | None:
    """This machine's sources of Debian packages as a `sources.list`, if it runs the release of our images."""
    if shutil.which("apt-get") is None or _codename() != BASE_CODENAME:
        return None
    asked = "$(ORIGIN)|$(CREATED_BY)|$(SITE)|$(RELEASE)|$(COMPONENT)"
    lines = []
    for line in _output(["apt-get", "indextargets", "--format", asked]):
        origin, kind, site, release, component = line.split("|")
        if origin == "Debian" and kind == "Packages":
            lines.append(f"deb {site} {release} {component}\n")
    return "".join(dict.fromkeys(lines)) or None


def _index_variables(environment: Mapping[str, str], pip: Mapping[str, str]) -> dict[str, str]:
    variables = {name: environment[name] for name in _PASSED_ON if environment.get(name)}
    for key, uv_name in _PIP_TO_UV.items():
        if key in pip:
            variables.setdefault("PIP_" + key.upper().replace("-", "_"), pip[key])
            variables.setdefault(uv_name, pip[key])
    return variables


def _pip_configuration() -> dict[str, str]:
    """pip's settings by name, the most specific last: `index-url`, `cert`, …"""
    found = {}
    for line in _output([sys.executable, "-m", "pip", "config", "list"]):
        key, separator, value = line.partition("=")
        if separator:
            found[key.rpartition(".")[2]] = " ".join(shlex.split(value))
    return found


def _certificates(environment: Mapping[str, str], pip: Mapping[str, str]) -> Path | None:
    named = [*(environment.get(name) for name in _CERTIFICATE_VARIABLES), pip.get("cert")]
    return next((Path(name) for name in named if name and Path(name).is_file()), None)


def _find_links(environment: Mapping[str, str], pip: Mapping[str, str]) -> list[str]:
    named = [environment.get("PIP_FIND_LINKS"), environment.get("UV_FIND_LINKS"), pip.get("find-links")]
    words = " ".join(name for name in named if name).replace(",", " ").split()
    return list(dict.fromkeys(words))


def _apt_configuration() -> str:
    lines = [f'Dir::Etc::sourcelist "{FOLDER}/apt.list";', 'Dir::Etc::sourceparts "/dev/null";']
    proxies = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::ForceIPv4")
    lines += [line for line in _output(["apt-config", "dump"]) if line.startswith(proxies)]
    return "\n".join([*lines, ""])


def _codename() -> str | None:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError:
        return None


def _output(command: list[str]) -> Iterator[str]:
    """Lines that a command prints; none if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return iter(())
    return iter(done.stdout.splitlines())
