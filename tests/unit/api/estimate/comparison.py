"""What we predict for a row of a published table."""

from dataclasses import replace

from finetune_api.estimate import memory, setup_for
from finetune_api.estimate.allocator import context_memory
from finetune_api.estimate.fit import apply
from finetune_api.estimate.memory import GIB
from finetune_api.estimate.throughput import throughput
from finetune_api.hardware import find_accelerator


def measured_setup(job, row):
    setup = setup_for(measured_job(job, row), find_accelerator(row.accelerator))
    if row.family is not None:
        setup = replace(setup, architecture=replace(setup.architecture, family=row.family))
    return replace(setup, program=row.program)


def setup_on_its_device(job, row):
    setup = measured_setup(job, row)
    return setup if row.capacity_gib is None else replace(setup, capacity=row.capacity_gib * GIB)


def predicted_gib(job, row):
    setup = setup_on_its_device(job, row)
    found = memory(setup)
    sizes = {
        "device": found.expected,
        "reserved": found.expected - context_memory(setup).expected,
        "allocated": found.parts.allocated,
    }
    return sizes[row.figure] / GIB


def measured_job(job, row):
    changes = dict(row.changes)
    model = changes.pop("model", None)
    made = job()
    if model:
        body = made.to_json_object()
        body["spec"]["model"] = model
        made = type(made).from_json_object(body)
    return apply(made, changes)


def predicted_seconds(job, row):
    accelerator = replace(find_accelerator(row.accelerator), network_gbs=row.network_gbs)
    found = throughput(measured_setup(job, row), accelerator, row.length)
    return found.step_seconds.expected
