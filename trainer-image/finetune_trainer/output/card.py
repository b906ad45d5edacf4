"""The model card: a README with the facts of the run, as the hub reads them and as people do."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from finetune_api.catalog import find_model
from finetune_api.dataset import DataSource
from finetune_api.resolved import ResolvedJob
from finetune_api.status import EvaluationStatus, OutputStatus
from finetune_api.validation.fields import chosen
from finetune_trainer.checkpoints.manifest import library_versions
from finetune_trainer.data.reading import find_files
from finetune_trainer.errors import DataError
from finetune_trainer.files import hash_file, write_atomically
from finetune_trainer.output.export import CARD, Chosen
from finetune_trainer.output.merge import Base
from finetune_trainer.stages import stage_for

log = logging.getLogger(__name__)

LEFT_OUT: Final = {"resources", "tracking", "budget", "failure_policy"}
"""Sections of the spec that say nothing about the model, and may hold what is not for others (environment
variables)."""
TASKS: Final = {"CAUSAL_LM": "text-generation", "SEQ_CLS": "text-classification"}
"""The hub's names, by PEFT's."""
ADDRESSES: Final = {"url", "uri", "endpoint"}
ENDS: Final = (
    "# the base may know no end of an answer but that of a text\n"
    'base.generation_config = GenerationConfig.from_pretrained("THIS_DIRECTORY")\n'
)
SERVED: Final = (
    "A server needs these settings too, or answers go on behind their ends: `vllm serve BASE --enable-lora "
    "--lora-modules NAME=THIS_DIRECTORY --tokenizer THIS_DIRECTORY --generation-config THIS_DIRECTORY`.\n"
)
PADDING: Final = (
    "# the score is that of the last token that is no padding\n"
    'base.config.pad_token_id = AutoTokenizer.from_pretrained("THIS_DIRECTORY").pad_token_id\n'
)
"""What an adapter can't bring to its base by itself."""


@dataclass(frozen=True)
class Facts:
    """What a card tells of a run."""

    job: ResolvedJob
    base: Base
    output: OutputStatus
    steps: int
    """That were trained."""
    chosen: Chosen
    """Whose weights the output has."""
    metrics: Mapping[str, str]
    effective: Mapping[str, str]
    evaluation: EvaluationStatus | None
    data: str
    """What was trained on, with its hash."""


def write_card(facts: Facts, directory: Path, *, merged: bool) -> None:
    """Writes the card of an adapter, a model or a merged model. Raises `OSError`."""
    front = _front_matter(facts, merged=merged).to_yaml(line_break="\n")
    card = ModelCard(f"---\n{front}\n---\n\n{card_text(facts, merged=merged)}", ignore_metadata_errors=True)
    write_atomically(directory / CARD, str(card))


def card_text(facts: Facts, *, merged: bool) -> str:
    """The part of the card that people read, as Markdown."""
    return "\n".join(_sections(facts, merged=merged)) + "\n"


def describe_data(source: DataSource, path: str | None) -> str:
    """A data source in words, with the SHA-256 of its content where it is a file or directory."""
    if path is None:
        hub = source.hub
        if hub is None:
            return "not known"
        return f"{hub.id} on the hub, split {hub.split}, revision {hub.revision or 'main'}"
    try:
        files = find_files(path, ())
    except DataError:
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
    hashes = [(file.name, *hash_file(file)) for file in files]
    if len(hashes) == 1:
        name, size, digest = hashes[0]
        return f"{name}, {size:,} bytes, SHA-256 `{digest}`"
    together = sha256("".join(f"{digest}  {name}\n" for name, _, digest in hashes).encode()).hexdigest()
    size = sum(each[1] for each in hashes)
    return f"{len(hashes)} files, {size:,} bytes, SHA-256 of their list `{together}`"


def licence_of(base: Base) -> str | None:
    """The licence of the base model: the catalog's word, else that of the base's own card; None when neither
    says."""
    known = find_model(base.place)
    if known is not None:
        return known.licence
    place = Path(base.place)
    try:
        if place.is_dir():
            return _licence_in(ModelCard.load(place / CARD)) if (place / CARD).is_file() else None
        return _licence_in(ModelCard.load(base.place))
    except Exception as error:  # noqa: BLE001 - a card that cannot be read is no reason to fail
        log.info("the card of %s cannot be read: %s", base.place, error)
        return None


def public_manifest(job: ResolvedJob) -> str:
    """The manifest of the run as YAML, without what says nothing about the model and without credentials in
    addresses. References to Secrets are names, never values."""
    spec = chosen(job.spec, exclude=LEFT_OUT)
    body = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": job.job.name},
        "spec": _without_credentials(spec),
    }
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True)


def _licence_in(card: Any) -> str | None:
    licence = card.data.license
    return str(licence) if licence else None


def _front_matter(facts: Facts, *, merged: bool) -> Any:
    spec = facts.job.spec
    adapter = facts.output.kind == "adapter" and not merged
    hub = spec.dataset.train.hub
    results = list(_results(facts))
    return ModelCardData(
        base_model=spec.model.id,
        datasets=[hub.id] if hub else None,
        eval_results=results or None,
        library_name="peft" if adapter else "transformers",
        license=licence_of(facts.base),
        model_name=facts.job.job.name,
        pipeline_tag=_task(facts),
        tags=["finetune-operator", spec.training.stage, spec.method.type],
    )


def _results(facts: Facts) -> Iterator[EvalResult]:
    for benchmark in facts.evaluation.benchmarks if facts.evaluation else ():
        for name, value in benchmark.scores.items():
            yield EvalResult(
                task_type=_task(facts),
                dataset_type=benchmark.name,
                dataset_name=benchmark.name,
                metric_type=name,
                metric_value=float(value),
            )


def _sections(facts: Facts, *, merged: bool) -> Iterator[str]:
    job, spec = facts.job, facts.job.spec
    what = "Merged model" if merged else facts.output.kind.capitalize()
    base = spec.model.id or ("a model from scratch" if spec.model.config else spec.model.path)
    yield f"# {job.job.name}\n"
    yield f"{what}, trained with {spec.method.type} ({spec.training.stage}) on {base}.\n"
    yield "It was loaded again and run once before the run was called a success.\n"
    yield "## Use\n"
    yield f"```python\n{_code(facts, merged=merged)}\n```\n"
    if facts.output.kind == "adapter" and not merged and stage_for(spec.training).head.generates:
        yield SERVED
    yield "## Facts of the run\n"
    yield from _table(
        ("fact", "value"),
        [
            ("base model", f"{base}, revision {spec.model.revision or 'main'}"),
            ("licence of the base", licence_of(facts.base) or "not stated"),
            ("training data", facts.data),
            ("optimizer steps", _steps(facts)),
            *((name, value) for name, value in facts.effective.items()),
        ],
    )
    yield "\n## Metrics\n"
    yield from _table(("metric", "last value"), list(facts.metrics.items()))
    yield from _benchmarks(facts)
    yield "\n## How to train it again\n"
    yield "Save the manifest as `job.yaml`, then `finetune run job.yaml`, or `kubectl apply -f job.yaml`:\n"
    yield f"```yaml\n{public_manifest(job)}```\n"
    yield "## Libraries\n"
    yield from _table(("library", "version"), list(library_versions().items()))


def _steps(facts: Facts) -> str:
    if facts.chosen.step == facts.steps:
        return str(facts.steps)
    metric = facts.job.spec.checkpoints.metric
    return f"{facts.chosen.step}, the best checkpoint by {metric} of a run of {facts.steps} steps"


def _benchmarks(facts: Facts) -> Iterator[str]:
    rows = [
        (benchmark.name, name, value, benchmark.base.get(name, "–"), str(benchmark.samples))
        for benchmark in (facts.evaluation.benchmarks if facts.evaluation else ())
        for name, value in benchmark.scores.items()
    ]
    if rows:
        yield "\n## Benchmarks\n"
        yield from _table(("benchmark", "score", "this", "base model", "questions"), rows)


def _code(facts: Facts, *, merged: bool) -> str:
    model, head = facts.job.spec.model, stage_for(facts.job.spec.training).head
    loader = head.loader.__name__
    trusted = {"trust_remote_code": True} if model.trust_remote_code else {}
    if facts.output.kind == "adapter" and not merged:
        revision = {"revision": model.revision} if model.id and model.revision else {}
        imported = f"{loader}, {'GenerationConfig' if head.generates else 'AutoTokenizer'}"
        return (
            f"from peft import PeftModel\nfrom transformers import {imported}\n\n"
            f"base = {_loaded(loader, model.id or 'BASE', revision | dict(head.settings) | trusted)}\n"
            f"{ENDS if head.generates else PADDING}"
            'model = PeftModel.from_pretrained(base, "THIS_DIRECTORY")'
        )
    return f"from transformers import {loader}\n\nmodel = {_loaded(loader, 'THIS_DIRECTORY', trusted)}"


def _loaded(loader: str, place: str, settings: Mapping[str, Any]) -> str:
    told = [f'"{place}"', *(f"{name}={_literal(value)}" for name, value in settings.items())]
    return f"{loader}.from_pretrained({', '.join(told)})"


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _task(facts: Facts) -> str:
    """The hub's name of what the model does."""
    return TASKS[stage_for(facts.job.spec.training).head.task]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def _without_credentials(value: Any, key: str = "") -> Any:
    """Addresses lose user, password and query."""
    if isinstance(value, dict):
        return {name: _without_credentials(child, name) for name, child in value.items()}
    if isinstance(value, list):
        return [_without_credentials(child) for child in value]
    if key in ADDRESSES and isinstance(value, str):
        parts = urlsplit(value)
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path, "", ""))
    return value
