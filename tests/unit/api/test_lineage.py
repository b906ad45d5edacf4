import pytest

from finetune_api.lineage import lineage_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"training.epochs": 9},
        {"training.maxSteps": 9},
        {"training.loggingSteps": 1},
        {"training.dataLoader.workers": 2},
        {"training.microBatchSize": 4, "training.gradientAccumulationSteps": 4},
        {"training.gradientCheckpointing": "full"},
        {"model.tokenSecret": {"name": "hub", "key": "token"}},
        {"model.attention": "sdpa"},
        {"dataset.eval": {"hub": {"id": "a/b"}}},
        {"distributed.nodes": 2, "training.gradientAccumulationSteps": 8},
        {"distributed.processesPerNode": 4, "training.gradientAccumulationSteps": 4},
        {"distributed.zeroStage": 2},
        {"dataset.preprocessing.workers": 4},
        {"checkpoints.keep": 9},
        {"suspend": True},
    ],
)
def test_what_does_not_change_the_run_keeps_the_hash(make_job, changes):
    assert lineage_hash(make_job(changes).spec) == lineage_hash(make_job().spec)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.id": "organisation/other"},
        {"model.revision": "v2"},
        {"model.tokenizer.chatTemplate": "{{ x }}"},
        {"method.type": "full"},
        {"method.lora.rank": 8},
        {"quantization.type": "nf4"},
        {"dataset.train": {"pvc": {"claimName": "data", "path": "other.jsonl"}}},
        {"dataset.evalSplit": 0.1},
        {"training.learningRate": 1e-4},
        {"training.gradientAccumulationSteps": 8},
        {"distributed.nodes": 2},
        {"training.seed": 1},
        {"training.precision": "bf16"},
    ],
)
def test_what_changes_the_run_changes_the_hash(make_job, changes):
    assert lineage_hash(make_job(changes).spec) != lineage_hash(make_job().spec)


def test_the_hash_is_that_of_the_last_release(make_job):
    """A change here makes every checkpoint of running jobs useless to the next version: announce it."""
    assert lineage_hash(make_job().spec) == "fca548e02ee843fb0d70136d0d30cf1a9a921e45942346dd9e62d64654317fc9"
