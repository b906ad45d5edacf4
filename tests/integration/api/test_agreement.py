"""What the API server accepts, the models accept: on random specs, allowed ones and spoiled ones."""

import json
import re

from hypothesis import HealthCheck, Phase, given, settings

from finetune_api import FineTuneJobSpec, parse_job
from finetune_api.crd import structural_schema
from schema_values import spoiled, values

SPECS = values(structural_schema(FineTuneJobSpec))
EXAMPLES = 100

drawing = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def drawn(strategy):
    """Specs that the strategy draws; kubectl is then called once for all of them."""
    specs = []

    @drawing
    @given(strategy)
    def collect(spec):
        specs.append(spec)

    collect()
    return [spec for spec in specs if isinstance(spec, dict)]


SOURCES = ("path", "pvc", "configMap", "hub", "http", "s3", "upload")


def consistent(spec):
    """The spec without what only CEL rules refuse, which random values nearly always break."""
    model = {
        name: value for name, value in spec["model"].items() if name not in ("path", "config", "tokenizer")
    }
    dataset = spec["dataset"] | {"train": one_of(spec["dataset"]["train"])}
    free = {name: value for name, value in spec.items() if name not in ("tracking", "output", "quantization")}
    without = {"distributed": ("offload",), "training": ("schedule",), "resources": ("env", "volumes")}
    for section, fields in without.items():
        if section in free:
            free[section] = {name: value for name, value in free[section].items() if name not in fields}
    free.pop("evaluation", None)
    dataset.pop("eval", None)
    return free | {"model": model | {"id": "organisation/model"}, "dataset": dataset}


def one_of(source):
    """The data source with one place only."""
    return next(({name: source[name]} for name in SOURCES if name in source), {"path": "/data"})


def accepted(api, specs):
    """Of these specs, those that the API server would create, as it would store them."""
    manifests = [
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": f"random-{index}"},
            "spec": spec,
        }
        for index, spec in enumerate(specs)
    ]
    bundle = {"apiVersion": "v1", "kind": "List", "items": manifests}
    command = ("create", "--dry-run=server", "--validate=strict", "-f", "-", "-o", "json")
    printed = api.kubectl(*command, manifest=bundle, check=False)
    return [parsed for parsed in _objects(printed) if parsed.get("kind") == "FineTuneJob"]


def _objects(text):
    """The JSON objects in kubectl's output, between its complaints."""
    decoder = json.JSONDecoder()
    for start in re.finditer(r"^\{", text, re.MULTILINE):
        parsed, _ = decoder.raw_decode(text, start.start())
        yield from parsed.get("items", [parsed])


def test_what_is_stored_is_understood_on_random_specs(api):
    stored = accepted(api, drawn(SPECS.map(consistent)))
    assert len(stored) > EXAMPLES / 2, "the strategy should draw specs that the API server takes"
    for job in stored:
        parse_job(job)


def test_what_is_stored_is_understood_on_spoiled_specs(api):
    for job in accepted(api, drawn(spoiled(SPECS.map(consistent)))):
        parse_job(job)
