"""What an attempt records of the preset that its job starts from, compared with golden YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from finetune_api import ResolvedJob, parse_job
from finetune_api.presets.in_cluster import as_recorded, with_preset
from finetune_api.resolved import AppliedPreset
from finetune_api.validation.fields import chosen
from finetune_operator.rendering import render_attempt
from finetune_operator.watching.presets import recorded
from golden import compare
from operator_scenes import CONFIG, UID
from stored_jobs import manager, stored

GOLDEN = Path(__file__).parent.parent / "golden" / "presets"
Manifest = dict[str, Any]


def read(name: str) -> Manifest:
    document: Manifest = yaml.safe_load((GOLDEN / name).read_text(encoding="utf-8"))
    return document


def stored_job() -> Manifest:
    job = read("team.job.yaml")
    metadata = {**job["metadata"], "managedFields": [manager("Apply", job["spec"])]}
    return {**stored(job["spec"]), "metadata": metadata}


def config_map(attempt: int, manifest: Any, preset: AppliedPreset | None) -> Manifest:
    objects = render_attempt(parse_job(manifest), attempt, CONFIG, preset)
    return next(made for made in objects if made["kind"] == "ConfigMap")


def test_an_attempt_records_the_preset_and_the_spec_that_came_of_it() -> None:
    made = config_map(1, *with_preset(stored_job(), {"team": read("team.preset.yaml")}))
    record = ResolvedJob.model_validate_json(made["data"]["job.json"])
    assert record.preset is not None
    resolved = {"preset": record.preset.to_json_object(), "spec": chosen(record.spec)}
    compare([resolved], GOLDEN / "team.resolved.yaml")
    assert record.spec.method.lora.alpha == 32, "the job spells out the default, and means it"


def test_the_next_attempt_is_made_of_that_record_and_makes_the_same() -> None:
    first = config_map(1, *with_preset(stored_job(), {"team": read("team.preset.yaml")}))
    record = recorded(first, UID)
    assert record is not None
    second = config_map(2, as_recorded(stored_job(), record), record.preset)
    before, after = (json.loads(made["data"]["job.json"]) for made in (first, second))
    assert after["attempt"] == 2
    assert (after["preset"], after["spec"]) == (before["preset"], before["spec"])
