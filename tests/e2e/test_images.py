"""What our images promise, asked of pods on the node."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_images import builders, content, dockerfile, host, lock, node, paths, pipeline
from finetune_images.builders import Build
from finetune_images.catalogue import IMAGES, Image
from finetune_images.stack import Base
from live import Cluster, wait_until

NAMESPACE = "finetune-images"

OPERATOR_LIMIT = 250_000_000
"""Bytes that all files of the operator's image may take."""

RunPython = Callable[[str, str], str]

every_image = pytest.mark.parametrize("key", [image.key for image in IMAGES])


@pytest.fixture(scope="module")
def tags() -> dict[str, str]:
    recorded: dict[str, str] = json.loads(paths.TAGS.read_text())
    return recorded


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.restricted_namespace(NAMESPACE) as name:
        yield name


@pytest.fixture
def run_python(cluster: Cluster, namespace: str, tags: dict[str, str]) -> Iterator[RunPython]:
    """Runs a script in an image, as its own user, on a read-only root, and returns what it printed."""

    def run(key: str, script: str) -> str:
        cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod(tags[key], script)))
        read = ("-n", namespace, "pod", "images")
        phase = wait_until(
            f"the pod of {tags[key]} has ended",
            lambda: (found := cluster.get(*read)["status"].get("phase")) in {"Succeeded", "Failed"} and found,
            seconds=300,
        )
        logs = cluster.kubectl("logs", "-n", namespace, "images")
        assert phase == "Succeeded", logs
        cluster.kubectl("delete", *read, "--wait=true", "--grace-period=0", "--force")
        return logs

    yield run
    cluster.kubectl(
        "delete", "-n", namespace, "pod", "images", "--ignore-not-found", "--grace-period=0", "--force"
    )


def pod(image: str, script: str) -> dict[str, Any]:
    """A pod that says as little as the restricted profile lets it: user and environment are the image's."""
    container = {
        "name": "python",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", script],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "images", "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def in_containerd(reference: str) -> Base:
    """The image's manifest and configuration, as the node has them."""
    here = node.find()
    assert here is not None
    return here.base(pipeline.on_node(reference))


SIZE = """
import os
seen, size, root = set(), 0, os.lstat("/").st_dev
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == root]
    for name in files:
        status = os.lstat(os.path.join(folder, name))
        if status.st_dev == root and status.st_ino not in seen:
            seen.add(status.st_ino)
            size += status.st_size
print(size)
"""


def test_the_operators_image_is_small(run_python: RunPython) -> None:
    assert 100_000_000 < int(run_python("operator", SIZE)) <= OPERATOR_LIMIT


USER = """
import getpass, json, os, pathlib, tempfile
pathlib.Path(os.environ["HOME"], "written").write_text("x")
try:
    pathlib.Path("/var/tmp/written").write_text("x")
    refused = None
except OSError as error:
    refused = error.strerror
found = {"ids": [os.getuid(), os.getgid()], "name": getpass.getuser(), "temporary": tempfile.gettempdir()}
print(json.dumps(found | {"refused": refused}))
"""


@every_image
def test_it_runs_as_a_plain_user_on_a_read_only_root(run_python: RunPython, key: str) -> None:
    found = json.loads(run_python(key, USER))
    assert found["ids"] == [1000, 1000]
    assert found["name"] == "finetune"
    assert found["temporary"] == "/tmp"
    assert found["refused"] == "Read-only file system"


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("operator", ["python", "-m", "finetune_operator", "--help"]),
        ("trainer", ["python", "-m", "finetune_trainer", "--help"]),
        ("trainer", ["finetune", "--help"]),
        ("trainer", ["torchrun", "--help"]),
    ],
    ids=["operator", "trainer", "finetune", "torchrun"],
)
def test_its_commands_are_on_the_path(run_python: RunPython, key: str, command: list[str]) -> None:
    script = f"import subprocess, sys; sys.exit(subprocess.run({command!r}).returncode)"
    assert "usage" in run_python(key, script).lower()


LIBRARIES = """
import importlib.metadata, json
import accelerate, bitsandbytes, datasets, deepspeed, peft, torch, transformers, trl
names = ["accelerate", "bitsandbytes", "datasets", "deepspeed", "peft", "torch", "transformers", "trl"]
print(json.dumps({name: importlib.metadata.version(name) for name in names} | {"cuda": torch.version.cuda}))
"""


def test_the_trainers_libraries_are_the_locked_ones_with_cuda(run_python: RunPython) -> None:
    found = json.loads(run_python("trainer", LIBRARIES).splitlines()[-1])
    assert found.pop("cuda")
    lock = (paths.REPOSITORY / "requirements" / "trainer.txt").read_text()
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", lock, re.MULTILINE))
    assert found == {name: locked[name] for name in found}


ADAM = """
import os, shutil, sys
os.environ["DS_ACCELERATOR"] = {accelerator!r}
import torch
from deepspeed.ops.adam import DeepSpeedCPUAdam
weight = torch.nn.Parameter(torch.ones(1000))
weight.grad = torch.ones(1000)
DeepSpeedCPUAdam([weight], lr=0.5).step()
import deepspeed.ops.adam.cpu_adam_op as extension
compiled = os.path.exists(os.environ["TORCH_EXTENSIONS_DIR"])
print(shutil.which("g++"), compiled, extension.__file__, weight.mean().item())
"""


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_adam_for_offloaded_optimizers_runs_without_a_compiler(
    run_python: RunPython, accelerator: str
) -> None:
    compiler, compiled, extension, mean = run_python("trainer", ADAM.format(accelerator=accelerator)).split()[
        -4:
    ]
    assert (compiler, compiled) == ("None", "False")
    assert extension.startswith("/opt/venv/")
    assert float(mean) == pytest.approx(0.5, abs=1e-3)


COLLECTIVES = """
from deepspeed.ops.op_builder import ShareMemCommBuilder
print(ShareMemCommBuilder().load().__file__)
"""


def test_collectives_in_shared_memory_are_prebuilt(run_python: RunPython) -> None:
    assert run_python("trainer", COLLECTIVES).splitlines()[-1].startswith("/opt/venv/")


STUB = """
import pathlib, subprocess, sysconfig
source = pathlib.Path("/tmp/stub.c")
source.write_text("#include <Python.h>\\nint stub(void) { return PY_MAJOR_VERSION; }\\n")
headers = sysconfig.get_path("include", scheme="posix_prefix")
subprocess.run(["gcc", "-shared", "-fPIC", f"-I{headers}", str(source), "-o", "/tmp/stub.so"], check=True)
print("compiled")
"""


def test_triton_finds_the_compiler_that_its_first_kernel_needs(run_python: RunPython) -> None:
    assert "compiled" in run_python("trainer", STUB)


SEARCH = """
import os, stat
needles = [bytes.fromhex(needle) for needle in {needles!r}]
root = os.lstat("/").st_dev
searched = 0
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == root]
    for name in files:
        path = os.path.join(folder, name)
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size < 1_000_000 and os.access(path, os.R_OK):
            searched += 1
            data = open(path, "rb").read()
            if any(needle in data for needle in needles):
                print("FOUND", path)
print("searched", searched, os.path.exists("/run/host"), sorted(os.listdir("/run")))
"""


def private_settings() -> list[bytes]:
    """What this machine knows and an image must not: addresses, credentials, its own authorities."""
    settings = host.read()
    secrets = [value for value in settings.variables.values() if "://" in value]
    secrets += [text for name, text in settings.files.items() if name in {"netrc", "uv.toml"}]
    secrets += [
        line for name, text in settings.files.items() if name == "apt.list" for line in text.splitlines()
    ]
    for authority in Path("/usr/local/share/ca-certificates").rglob("*.crt"):
        body = re.findall(r"-{5}BEGIN CERTIFICATE-{5}\n(.*?)-{5}END", authority.read_text(), re.DOTALL)
        secrets += [lines.splitlines()[len(lines.splitlines()) // 2] for lines in body]
    return [secret.encode() for secret in secrets]


@every_image
def test_no_setting_of_the_machine_that_built_it_is_left_in_it(
    run_python: RunPython, tags: dict[str, str], key: str
) -> None:
    # A line that every image has: the search is known to find.
    present = b"VERSION_CODENAME=bookworm"
    needles = [present, *private_settings()]
    *found, summary = run_python(
        key, SEARCH.format(needles=[needle.hex() for needle in needles])
    ).splitlines()
    assert found == ["FOUND /usr/lib/os-release"]
    searched = int(summary.split()[1])
    assert searched > 2000
    described = json.dumps(in_containerd(tags[key]).config).encode()
    assert [needle for needle in needles if needle in described] == []


@every_image
def test_its_configuration_says_what_it_is_and_nothing_of_who_built_it(
    tags: dict[str, str], key: str
) -> None:
    config = in_containerd(tags[key]).config["config"]
    assert config["User"] == "1000:1000"
    assert config["Labels"]["org.opencontainers.image.title"] == f"finetune-{key}"
    names = {variable.partition("=")[0] for variable in config["Env"]}
    assert not {name for name in names if name.startswith(("PIP_", "UV_", "SSL_", "HTTP", "http"))}


def unpacked(layer: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        files = [member for member in archive if member.isfile()]
        return {file.name: reader.read() for file in files if (reader := archive.extractfile(file))}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.key)
def test_our_layer_holds_what_a_builder_makes_of_the_dockerfile(image: Image, tmp_path: Path) -> None:
    secret = tmp_path / "host"
    secret.touch()
    tag = f"{image.repository}-code:test"
    builder = builders.find()
    with lock.exclusive():
        builder.build(Build(image.dockerfile, paths.REPOSITORY, tag, "code", {}, secret))
        exported = io.BytesIO()
        builder.export(tag, tag, exported)
        builder.forget(tag)
    blobs = unpacked(exported.getvalue()).values()
    stage = dockerfile.read(image.dockerfile).stage("code")
    (built,) = [found for blob in blobs if tarfile.is_tarfile(io.BytesIO(blob)) and (found := unpacked(blob))]
    assert built == unpacked(content.code_layer(stage, paths.REPOSITORY))


def test_our_code_is_a_layer_of_its_own_on_top_of_the_dependencies(tags: dict[str, str]) -> None:
    for plan in pipeline.plans():
        if tags[plan.image.key] == plan.reference:
            below = in_containerd(plan.dependencies).manifest["layers"]
            *under, ours = in_containerd(plan.reference).manifest["layers"]
            assert under == below
            assert ours["size"] < 5_000_000
