"""The API server and the models agree on random specs, allowed ones and spoiled ones.

`FINETUNE_RANDOM_SPECS=10000` draws that many of each class instead of the few that every run can afford.
"""

import json
import os

import pytest
from kubernetes.client import ApiException, CustomObjectsApi
from kubernetes.config import new_client_from_config

from finetune_api import GROUP, VERSION, FineTuneJobSpec, check_manifest, parse_job
from finetune_api.crd import structural_schema
from finetune_api.dataset import SOURCES
from random_specs import SpecMaker

SCHEMA = structural_schema(FineTuneJobSpec)
EXAMPLES = int(os.environ.get("FINETUNE_RANDOM_SPECS", "500"))
"""Specs of each class: allowed, spoiled, inconsistent."""


def consistent(spec):
    """The spec with what CEL rules refuse mended, which random values nearly always break."""
    model = {
        name: value for name, value in spec["model"].items() if name not in ("path", "config", "tokenizer")
    }
    dataset = spec["dataset"] | {"train": one_of(spec["dataset"]["train"], SOURCES, {"path": "/data"})}
    if "eval" in dataset:
        dataset["eval"] = one_of(dataset["eval"], SOURCES, {"path": "/data"})
    dataset["streaming"] = False
    mended = spec | {"model": model | {"id": "organisation/model"}, "dataset": dataset}
    for section, mend in MENDS.items():
        if section in mended:
            mended[section] = mend(mended[section])
    return mended


def one_of(value, fields, otherwise):
    """The value with one of the fields only."""
    rest = {name: item for name, item in value.items() if name not in fields}
    return rest | next(({name: value[name]} for name in fields if name in value), otherwise)


def without(value, *fields):
    return {name: item for name, item in value.items() if name not in fields}


MENDS = {
    "quantization": lambda section: section | {"type": "none"},
    "tracking": lambda section: section | {"project": "p"},
    "checkpoints": lambda section: section | {"universal": False},
    "distributed": lambda section: section | {"zeroStage": 3},
    "output": lambda section: without(section, "storage"),
    "training": lambda section: (
        section | ({"schedule": without(section["schedule"], "stableRatio")} if "schedule" in section else {})
    ),
    "resources": lambda section: (
        section
        | {"env": [without(variable, "valueFrom") for variable in section.get("env", [])]}
        | {
            "volumes": [
                one_of(volume, ("claimName", "configMap", "secret"), {"claimName": "c"})
                for volume in section.get("volumes", [])
            ]
        }
    ),
    "evaluation": lambda section: (
        section
        | {"benchmarks": [without(benchmark, "prompts") for benchmark in section.get("benchmarks", [])]}
    ),
}


def as_manifests(specs):
    """Manifests by name, of those specs that JSON and Go's numbers can write."""
    manifests = {}
    for index, spec in enumerate(specs):
        name = f"random-{index}"
        manifest = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": name},
            "spec": spec,
        }
        try:
            manifests[name] = json.loads(json.dumps(manifest, allow_nan=False), parse_int=_int64)
        except ValueError:
            continue
    return manifests


def _int64(digits):
    if abs(int(digits)) >= 2**63:
        raise ValueError(digits)
    return int(digits)


@pytest.fixture(scope="module")
def dry_create(api, control_plane):
    """Asks the API server to create a job without keeping it: what it would store, None if it refuses.

    kubectl is no help here: its own validation refuses a whole list for one bad item.
    """
    with new_client_from_config(str(control_plane.kubeconfig)) as connection:
        jobs = CustomObjectsApi(connection)

        def create(manifest):
            place = (GROUP, VERSION, api.namespace, "finetunejobs")
            try:
                return jobs.create_namespaced_custom_object(
                    *place, manifest, dry_run="All", field_validation="Strict"
                )
            except ApiException as refused:
                if refused.status not in (400, 422):
                    raise
                return None

        yield create


def errors(manifest):
    """The errors that the validator finds, but for those that this version can't do yet."""
    _, findings = check_manifest(manifest)
    found = [finding for finding in findings if finding.severity == "error"]
    return {(finding.code, finding.path) for finding in found if finding.code != "NotYetSupported"}


@pytest.fixture(scope="module")
def allowed():
    """Specs that the schema and the CEL rules allow."""
    maker = SpecMaker(seed=1)
    return as_manifests([consistent(maker.value(SCHEMA)) for _ in range(EXAMPLES)])


@pytest.fixture(scope="module")
def spoiled(allowed):
    """The same specs with odd values in them."""
    maker = SpecMaker(seed=2)
    return as_manifests([maker.spoiled(manifest["spec"]) for manifest in allowed.values()])


@pytest.fixture(scope="module")
def inconsistent():
    """Specs that the schema allows and CEL rules refuse, nearly always."""
    maker = SpecMaker(seed=3)
    return as_manifests([maker.value(SCHEMA) for _ in range(EXAMPLES)])


@pytest.fixture(scope="module")
def stored_of_spoiled(dry_create, spoiled):
    return {name: dry_create(manifest) for name, manifest in spoiled.items()}


def test_what_is_stored_is_understood_on_random_specs(dry_create, allowed):
    stored = {name: dry_create(manifest) for name, manifest in allowed.items()}
    assert [name for name, job in stored.items() if job is None] == [], "the schema and CEL allow them"
    for name, job in stored.items():
        assert parse_job(job).spec == parse_job(allowed[name]).spec


def test_what_is_stored_is_understood_on_spoiled_specs(stored_of_spoiled):
    stored = [job for job in stored_of_spoiled.values() if job is not None]
    assert 0 < len(stored) < len(stored_of_spoiled)
    for job in stored:
        parse_job(with_what_its_preset_gives(job))


def with_what_its_preset_gives(job):
    """A job with a preset may leave to it what every other one must say."""
    spec = job["spec"]
    if "preset" not in spec:
        return job
    dataset = {"train": {"path": "/d"}} | spec.get("dataset", {})
    return job | {"spec": {"model": {"id": "a/b"}} | spec | {"dataset": dataset}}


def test_what_the_api_server_refuses_the_validator_refuses(stored_of_spoiled, allowed, spoiled):
    refused = [name for name, job in stored_of_spoiled.items() if job is None]
    assert [name for name in refused if errors(spoiled[name]) <= errors(allowed[name])] == []


def test_what_cel_refuses_the_rules_refuse(dry_create, inconsistent):
    refused = [name for name, manifest in inconsistent.items() if dry_create(manifest) is None]
    assert len(refused) > EXAMPLES / 2
    assert [name for name in refused if not errors(inconsistent[name])] == []
