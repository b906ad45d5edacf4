import pytest

MODES = "checkpoints.storage.accessModes"


@pytest.mark.parametrize("section", ["checkpoints", "output"])
def test_a_run_directory_stays_in_its_volume(brief, section):
    changes = {f"{section}.storage": {"claimName": "runs", "subPath": "../other"}}
    assert brief(changes) == [("error", "UnsafePath", f"{section}.storage.subPath")]


def test_a_new_claim_has_a_size(brief):
    assert brief({"checkpoints.storage.size": "0"}) == [("error", "OutOfRange", "checkpoints.storage.size")]
    assert brief({"checkpoints.storage": {"size": "0", "claimName": "runs"}}) == []


def test_an_output_volume_exists(brief):
    assert brief({"output.storage": {}}) == [("error", "Requires", "output.storage.claimName")]


def test_a_run_without_checkpoints_is_warned_about(brief):
    never = {"checkpoints.everySteps": 0}
    assert brief(never) == [("warning", "NoCheckpoints", "checkpoints.everySteps")]
    assert brief(never | {"checkpoints.everyMinutes": 30}) == []
    assert brief(never | {"checkpoints.atEpochEnd": True}) == []


def test_a_volume_for_one_pod_is_for_one_pod(brief):
    one = {MODES: ["ReadWriteOncePod"]}
    assert brief(one) == []
    assert ("error", "Conflict", MODES) in brief(one | {"distributed.nodes": 2})
    assert brief({MODES: ["ReadWriteOncePod", "ReadWriteOnce"]}) == [("error", "Conflict", MODES)]


@pytest.mark.parametrize(("kind", "merges"), [("lora", True), ("full", False)])
def test_only_adapters_are_merged(brief, kind, merges):
    found = brief({"method.type": kind, "output.mergeAdapter": True, "training.learningRate": 1e-5})
    assert found == ([] if merges else [("error", "Conflict", "output.mergeAdapter")])


@pytest.mark.parametrize(
    ("steps", "code"),
    [(9, "FrequentCheckpoints"), (10, None), (1000, None), (1001, "RareCheckpoints")],
)
def test_checkpoints_are_neither_rare_nor_frequent(brief, steps, code):
    found = brief({"checkpoints.everySteps": steps})
    assert found == ([("suggestion", code, "checkpoints.everySteps")] if code else [])
    if steps > 1000:
        assert brief({"checkpoints": {"everySteps": steps, "everyMinutes": 30}}) == []
