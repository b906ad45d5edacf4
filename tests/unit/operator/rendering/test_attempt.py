"""The objects of an attempt, compared with golden YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api import FineTuneJob, ResolvedJob, parse_job, resolve
from finetune_operator.rendering import render_attempt
from golden import compare
from operator_scenes import CONFIG, make_job

GOLDEN = Path(__file__).parent.parent / "golden" / "attempts"
CASES = sorted(path.name.removesuffix(".job.yaml") for path in GOLDEN.glob("*.job.yaml"))


def the_job(case: str) -> FineTuneJob:
    return parse_job(yaml.safe_load((GOLDEN / f"{case}.job.yaml").read_text(encoding="utf-8")))


def rendered(case: str, attempt: int = 2) -> list[dict[str, Any]]:
    return render_attempt(the_job(case), attempt, CONFIG)


@pytest.mark.parametrize("case", CASES)
def test_an_attempt_consists_of_the_objects_in_the_golden_file(case: str) -> None:
    manifests = rendered(case)
    data = next(manifest for manifest in manifests if manifest["kind"] == "ConfigMap")["data"]
    document = json.loads(data["job.json"])
    document["spec"] = "as in the job, defaults filled in"
    data["job.json"] = json.dumps(document, indent=2)
    compare(manifests, GOLDEN / f"{case}.objects.yaml")


@pytest.mark.parametrize("case", CASES)
def test_no_value_is_null(case: str) -> None:
    assert not [path for path, value in leaves(rendered(case)) if value is None]


@pytest.mark.parametrize("case", CASES)
def test_what_the_trainer_reads_is_the_resolved_job(case: str) -> None:
    config_map = next(manifest for manifest in rendered(case) if manifest["kind"] == "ConfigMap")
    resolved = ResolvedJob.model_validate_json(config_map["data"]["job.json"])
    assert resolved.attempt == 2
    assert resolved.spec == the_job(case).spec
    assert resolved.job.uid == config_map["metadata"]["ownerReferences"][0]["uid"]


@pytest.mark.parametrize("case", CASES)
def test_every_volume_is_mounted_once_and_every_mount_has_its_volume(case: str) -> None:
    pod = pod_spec(rendered(case))
    volumes = [volume["name"] for volume in pod["volumes"]]
    mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
    paths = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert volumes == mounts
    assert len(set(volumes)) == len(volumes)
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("case", CASES)
def test_pods_meet_the_restricted_profile(case: str) -> None:
    pod = pod_spec(rendered(case))
    container = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    allowed = {"configMap", "emptyDir", "projected", "persistentVolumeClaim", "secret"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


def test_the_only_token_is_bound_to_the_job() -> None:
    pod = pod_spec(rendered("one-pod-on-cpu"))
    projected = [volume["projected"] for volume in pod["volumes"] if "projected" in volume]
    (source,) = projected[0]["sources"]
    assert source["serviceAccountToken"]["audience"] == "finetune.dev/team/dates"


def test_a_claim_of_the_users_is_used_and_none_is_made() -> None:
    kinds = [manifest["kind"] for manifest in rendered("two-nodes-with-accelerators")]
    assert kinds == ["ConfigMap", "Service", "Job"]


def test_a_claim_that_we_make_has_no_owner() -> None:
    claim = rendered("one-pod-on-cpu")[0]
    assert claim["kind"] == "PersistentVolumeClaim"
    assert "ownerReferences" not in claim["metadata"]


@pytest.mark.parametrize(("base_claim", "attached_read_only"), [("models", False), ("base-models", True)])
def test_a_claim_is_attached_read_only_unless_the_pod_also_writes_to_it(
    base_claim: str, attached_read_only: bool
) -> None:
    base = {"name": "base", "claimName": base_claim, "mountPath": "/models", "readOnly": True}
    job = make_job({"checkpoints": {"storage": {"claimName": "models"}}, "resources": {"volumes": [base]}})
    pod = pod_spec(render_attempt(job, 1, CONFIG))
    (claim,) = [v["persistentVolumeClaim"] for v in pod["volumes"] if v["name"] == "user-base"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "user-base"]
    assert claim.get("readOnly", False) is attached_read_only
    assert mount["readOnly"] is True


def test_names_depend_on_the_job_and_the_attempt_only() -> None:
    job = make_job()
    assert render_attempt(job, 3, CONFIG) == render_attempt(job, 3, CONFIG)
    names = {manifest["metadata"]["name"] for manifest in render_attempt(job, 3, CONFIG)}
    assert names == {"tune-storage", "tune-3"}


def test_the_address_to_report_to_cannot_be_overridden() -> None:
    env = [
        {"name": "KUBEFLOW_TRAINER_SERVER_URL", "value": "https://elsewhere"},
        {"name": "HOME", "value": "/fast"},
    ]
    job = make_job({"resources": {"env": env}})
    variables = pod_spec(render_attempt(job, 1, CONFIG))["containers"][0]["env"]
    values = {variable["name"]: variable["value"] for variable in variables}
    assert len(values) == len(variables)
    assert values["KUBEFLOW_TRAINER_SERVER_URL"].startswith(CONFIG.status_url)
    assert values["HOME"] == "/fast"


def test_the_token_that_may_write_to_the_hub_is_a_variable_of_its_own() -> None:
    hub = {"id": "me/model", "tokenSecret": {"name": "hub", "key": "write"}}
    read = {"id": "a/b", "tokenSecret": {"name": "hub", "key": "read"}}
    job = make_job({"model": read, "output": {"hub": hub}})
    variables = pod_spec(render_attempt(job, 1, CONFIG))["containers"][0]["env"]
    secrets = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in variables if "valueFrom" in each}
    assert secrets["FINETUNE_HUB_TOKEN"] == {"name": "hub", "key": "write"}
    assert secrets["HF_TOKEN"] == {"name": "hub", "key": "read"}


def test_questions_of_a_benchmark_are_mounted_where_the_trainer_looks_for_them() -> None:
    questions = {"configMap": {"name": "questions", "key": "q.jsonl"}}
    benchmark = {"name": "own", "type": "prompts", "prompts": questions}
    job = make_job({"evaluation": {"benchmarks": [benchmark]}})
    mounts = pod_spec(render_attempt(job, 1, CONFIG))["containers"][0]["volumeMounts"]
    [mount] = [mount for mount in mounts if "benchmark" in mount["name"]]
    assert resolve(job, 1).paths.benchmarks == {"own": f"{mount['mountPath']}/q.jsonl"}
    assert mount["readOnly"] is True


def pod_spec(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = manifests[-1]["spec"]["template"]["spec"]
    return spec


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def test_trackers_get_their_keys_from_secrets() -> None:
    wandb = {"type": "wandb", "apiKeySecret": {"name": "keys", "key": "wandb"}}
    mlflow = {"type": "mlflow", "url": "https://x.org", "apiKeySecret": {"name": "keys", "key": "mlflow"}}
    job = make_job({"tracking": {"project": "p", "trackers": [wandb, mlflow, {"type": "tensorboard"}]}})
    pod = pod_spec(render_attempt(job, 1, CONFIG))
    variables = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
    assert variables["WANDB_API_KEY"]["valueFrom"] == {"secretKeyRef": {"name": "keys", "key": "wandb"}}
    assert variables["MLFLOW_TRACKING_TOKEN"]["valueFrom"]["secretKeyRef"]["key"] == "mlflow"
