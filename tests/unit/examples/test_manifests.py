"""Every manifest in examples/ may be applied as it is."""

from pathlib import Path

import pytest
import yaml

from finetune_api import FineTuneJob, check_manifest
from finetune_cli.findings import check_files
from finetune_operator.rendering import RenderConfig, render_attempt

EXAMPLES = Path(__file__).parents[3] / "examples"
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))
CONFIG = RenderConfig(trainer_image="trainer:1", status_url="https://status:8443", ca_pem="")


def jobs(path: Path) -> list[FineTuneJob]:
    found = []
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if document["kind"] == "FineTuneJob":
            job, _ = check_manifest(document)
            assert job is not None
            found.append(job)
    return found


def test_there_are_examples() -> None:
    assert len(MANIFESTS) >= 7


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_has_no_errors(path: Path) -> None:
    [report] = check_files([str(path)])
    errors = [str(placed.finding) for placed in report.findings if placed.finding.severity == "error"]
    assert errors == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_starts_with_a_comment_that_says_how_to_use_it(path: Path) -> None:
    comment = path.read_text(encoding="utf-8").partition("apiVersion:")[0]
    assert f"kubectl apply -f examples/{path.name}" in comment
    assert all(line.startswith("#") for line in comment.splitlines())


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_brings_the_config_maps_that_it_mounts_or_says_how_to_make_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    documents = list(yaml.safe_load_all(text))
    brought = {doc["metadata"]["name"]: doc["data"] for doc in documents if doc["kind"] == "ConfigMap"}
    for job in jobs(path):
        source = job.spec.dataset.train.config_map
        if source is None:
            continue
        in_file = source.key in brought.get(source.name, {})
        assert in_file or f"kubectl create configmap {source.name} " in text


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_asks_only_for_rendered_objects_of_its_own(path: Path) -> None:
    for job in jobs(path):
        kinds = [rendered["kind"] for rendered in render_attempt(job, 1, CONFIG)]
        assert kinds.count("Job") == 1
        assert ("Service" in kinds) == (job.spec.distributed.nodes > 1)


def test_only_the_gpu_example_asks_for_accelerators() -> None:
    asking = [
        path.stem for path in MANIFESTS for job in jobs(path) if job.spec.resources.accelerators.per_node
    ]
    assert asking == ["gpu-lora-8b"]
