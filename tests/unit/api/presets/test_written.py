"""Of a stored job, in which every default is filled in, what did its author write?"""

import json
from typing import Any

import pytest

from finetune_api import FineTuneJobSpec
from finetune_api.crd import structural_schema
from finetune_api.presets.written import LAST_APPLIED, tells_what_was_written, written_spec
from random_specs import SpecMaker
from stored_jobs import manager, stored

Manifest = dict[str, Any]

WRITTEN: Manifest = {
    "preset": "chat",
    "model": {"id": "organisation/model"},
    "dataset": {"train": {"hub": {"id": "organisation/data"}}},
    "training": {"epochs": 3.0, "learningRate": 1e-5, "schedule": {"type": "cosine"}},
}
"""`epochs` and `schedule.type` are spelled out, and are the defaults."""


def test_a_server_side_apply_tells_a_default_that_was_spelled_out() -> None:
    job = stored(WRITTEN, managedFields=[manager("Apply", WRITTEN)])
    assert written_spec(job) == WRITTEN
    assert tells_what_was_written(job)


def test_so_does_the_annotation_of_a_client_side_apply() -> None:
    everything = manager("Update", stored(WRITTEN)["spec"])
    annotations = {LAST_APPLIED: json.dumps({"kind": "FineTuneJob", "spec": WRITTEN})}
    job = stored(WRITTEN, annotations=annotations, managedFields=[everything])
    assert written_spec(job) == WRITTEN
    assert tells_what_was_written(job)


def test_after_a_plain_create_a_default_counts_as_left_open() -> None:
    job = stored(WRITTEN, managedFields=[manager("Update", stored(WRITTEN)["spec"])])
    assert not tells_what_was_written(job)
    assert written_spec(job) == {**WRITTEN, "training": {"learningRate": 1e-5}}


def test_what_was_changed_later_counts_whoever_changed_it() -> None:
    job = stored(
        {**WRITTEN, "suspend": True},
        managedFields=[manager("Apply", WRITTEN), manager("Update", {"suspend": True})],
    )
    assert written_spec(job) == {**WRITTEN, "suspend": True}


def test_the_status_and_its_writer_say_nothing_about_the_spec() -> None:
    of_status = manager("Apply", {"method": {"type": "lora"}}, subresource="status")
    assert "method" not in written_spec(stored(WRITTEN, managedFields=[of_status]))


def test_a_section_that_is_absent_by_default_is_its_authors_even_with_nothing_in_it() -> None:
    written = {**WRITTEN, "training": {"earlyStopping": {}}}
    assert written_spec(stored(written))["training"] == {"earlyStopping": {}}


def test_lists_and_free_objects_are_taken_whole() -> None:
    modules = ["q_proj", "v_proj"]
    written = {
        **WRITTEN,
        "method": {"lora": {"targetModules": modules}},
        "distributed": {"deepspeedConfig": {"zero_optimization": {"stage": 2}}},
    }
    found = written_spec(stored(written, managedFields=[manager("Apply", WRITTEN)]))
    assert found["method"] == {"lora": {"targetModules": modules}}
    assert found["distributed"] == {"deepspeedConfig": {"zero_optimization": {"stage": 2}}}


@pytest.mark.parametrize("annotation", ["", "{", "[]", '{"spec": 3}'])
def test_a_broken_annotation_tells_nothing(annotation: str) -> None:
    job = stored(WRITTEN, annotations={LAST_APPLIED: annotation})
    assert "epochs" not in written_spec(job)["training"]


def test_a_manifest_without_a_spec_has_nothing_written() -> None:
    assert written_spec({}) == {}
    assert written_spec({"spec": "text"}) == {}


def test_what_counts_as_written_makes_the_same_job_again_whatever_the_spec() -> None:
    maker = SpecMaker(seed=11)
    schema = structural_schema(FineTuneJobSpec)
    for _ in range(60):
        drawn = maker.value(schema)
        job = stored(drawn)
        for known in (job, stored(drawn, managedFields=[manager("Apply", drawn)])):
            assert stored(written_spec(known))["spec"] == job["spec"]
