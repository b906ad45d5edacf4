"""The API server and the models agree on random specs, allowed ones and spoiled ones."""

import json
import re

import pytest

from finetune_api import FineTuneJobSpec, check_manifest, parse_job
from finetune_api.crd import structural_schema
from finetune_api.dataset import SOURCES
from random_specs import SpecMaker

SCHEMA = structural_schema(FineTuneJobSpec)
EXAMPLES = 300


def consistent(spec):
    """The spec with what CEL rules refuse mended, which random values nearly always break."""
    model = {
        name: value for name, value in spec["model"].items() if name not in ("path", "config", "tokenizer")
    }
    dataset = spec["dataset"] | {"train": one_of(spec["dataset"]["train"], SOURCES, {"path": "/data"})}
    if "eval" in dataset:
        dataset["eval"] = one_of(dataset["eval"], SOURCES, {"path": "/data"})
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
    """Manifests by name, of those specs that JSON can write."""
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
            manifests[name] = json.loads(json.dumps(manifest, allow_nan=False))
        except ValueError:
            continue
    return manifests


def accepted(api, manifests):
    """Of these manifests, those that the API server would create, as it would store them, by name."""
    bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests.values())}
    command = ("create", "--dry-run=server", "--validate=strict", "-f", "-", "-o", "json")
    printed = api.kubectl(*command, manifest=bundle, check=False)
    jobs = [parsed for parsed in _objects(printed) if parsed.get("kind") == "FineTuneJob"]
    return {job["metadata"]["name"]: job for job in jobs}


def _objects(text):
    """The JSON objects in kubectl's output, between its complaints."""
    decoder = json.JSONDecoder()
    for start in re.finditer(r"^\{", text, re.MULTILINE):
        parsed, _ = decoder.raw_decode(text, start.start())
        yield from parsed.get("items", [parsed])


def is_refused(manifest):
    """Whether the validator refuses it, for another reason than that this version can't do it yet."""
    _, findings = check_manifest(manifest)
    return any(found.severity == "error" and found.code != "NotYetSupported" for found in findings)


@pytest.fixture(scope="module")
def allowed():
    """Specs that the schema and the CEL rules allow."""
    maker = SpecMaker(seed=1)
    return as_manifests(consistent(maker.value(SCHEMA)) for _ in range(EXAMPLES))


@pytest.fixture(scope="module")
def spoiled():
    """The same kind of specs with odd values, and ones that only the CEL rules may refuse."""
    maker = SpecMaker(seed=2)
    odd = (maker.spoiled(consistent(maker.value(SCHEMA))) for _ in range(EXAMPLES))
    return as_manifests([*odd, *(maker.value(SCHEMA) for _ in range(EXAMPLES))])


def test_what_is_stored_is_understood_on_random_specs(api, allowed):
    stored = accepted(api, allowed)
    assert len(stored) > EXAMPLES * 0.9, "the schema allows them all, and the CEL rules most of them"
    for job in stored.values():
        parse_job(job)


def test_what_is_stored_is_understood_on_spoiled_specs(api, spoiled):
    stored = accepted(api, spoiled)
    assert 0 < len(stored) < len(spoiled)
    for job in stored.values():
        parse_job(job)


def test_what_is_stored_means_to_the_models_what_was_written(api, allowed):
    for name, job in accepted(api, allowed).items():
        assert parse_job(job).spec == parse_job(allowed[name]).spec


def test_what_the_api_server_refuses_the_validator_refuses(api, spoiled):
    stored = accepted(api, spoiled)
    refused = [name for name in spoiled if name not in stored]
    assert [name for name in refused if not is_refused(spoiled[name])] == []
