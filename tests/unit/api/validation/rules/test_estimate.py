import sys

import pytest

FULL_8B = {
    "model.id": "meta-llama/Llama-3.1-8B",
    "method.type": "full",
    "resources.accelerators": {"perNode": 1, "type": "l4"},
}
QLORA_8B = {
    "model.id": "meta-llama/Llama-3.1-8B",
    "method.type": "qlora",
    "quantization.type": "nf4",
    "training.gradientCheckpointing": "full",
    "training.maxSequenceLength": 512,
    "resources.accelerators": {"perNode": 1, "type": "a100-80gb"},
}


def about_memory(findings):
    return [found for found in findings if found.code in ("DoesNotFit", "MayNotFit")]


def test_a_job_that_cannot_fit_is_refused_with_the_change_that_would(check):
    (found,) = about_memory(check(FULL_8B))
    assert (found.severity, found.code, found.path) == ("error", "DoesNotFit", "training.microBatchSize")
    assert "22.5 GiB of l4 are there" in found.message
    assert found.remedy.startswith("Set ")


def test_a_job_that_may_not_fit_is_warned_about(check):
    changes = QLORA_8B | {"training.maxSequenceLength": 32768}
    (found,) = about_memory(check(changes))
    assert (found.severity, found.code) == ("warning", "MayNotFit")


@pytest.mark.parametrize("device", ["cpu", "nvme"])
def test_what_the_raw_configuration_moves_to_the_host_is_not_counted(check, device):
    zero = {"offload_optimizer": {"device": device}, "offload_param": {"device": device}}
    shared = FULL_8B | {"distributed.zeroStage": 3, "training.maxSequenceLength": 512}
    moved = shared | {"distributed.deepspeedConfig": {"zero_optimization": zero}}
    assert [found.code for found in about_memory(check(shared))] == ["DoesNotFit"]
    assert about_memory(check(moved)) == []


def test_a_job_with_a_raw_configuration_is_never_refused(check):
    raw = {"distributed.deepspeedConfig": {"data_types": {"grad_accum_dtype": "bf16"}}}
    (found,) = about_memory(check(FULL_8B | raw))
    assert (found.severity, found.code) == ("warning", "MayNotFit")


def test_a_job_that_surely_fits_is_left_alone(check):
    assert about_memory(check(QLORA_8B)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"resources.accelerators": {"perNode": 1}},
        {"resources.accelerators": {"perNode": 1, "type": "a-gpu-nobody-knows"}},
        {"resources.accelerators": {"type": "l4"}},
        {"model.id": "organisation/model"},
        {"resources.command": ["python", "/scripts/train.py"]},
    ],
)
def test_nothing_is_said_where_nothing_is_known(check, changes):
    assert about_memory(check(FULL_8B | changes)) == []


def test_an_architecture_of_ones_own_is_judged_too(check):
    changes = {
        "model": {"config": {"hiddenSize": 8192, "layers": 80, "attentionHeads": 64}},
        "model.tokenizer": {"train": {}},
        "method.type": "full",
        "resources.accelerators": {"perNode": 1, "type": "h100"},
    }
    assert [found.code for found in about_memory(check(changes))] == ["DoesNotFit"]


def about_the_pods(findings):
    return [found for found in findings if found.code == "HostMemory"]


OFFLOADED_8B = {
    "model.id": "meta-llama/Llama-3.1-8B",
    "method.type": "full",
    "distributed.zeroStage": 3,
    "distributed.offload": {"optimizer": "cpu"},
    "resources.accelerators": {"perNode": 8, "type": "a100-80gb"},
}


def test_pods_that_cannot_hold_what_is_offloaded_are_warned_about(check):
    """8.03 · 10⁹ weights: 12 bytes of each for the optimizer, and 2 while they are saved."""
    (found,) = about_the_pods(check(OFFLOADED_8B | {"resources.memory": "100Gi"}))
    assert (found.severity, found.path, found.value) == ("warning", "resources.memory", "100Gi")
    assert "the 105 GiB of this model" in found.message
    assert found.remedy == "Raise resources.memory to 113Gi"
    assert about_the_pods(check(OFFLOADED_8B | {"resources.memory": "113Gi"})) == []


def test_several_nodes_share_what_is_offloaded(check):
    spread = OFFLOADED_8B | {"distributed.nodes": 2, "resources.memory": "64Gi"}
    assert about_the_pods(check(spread)) == []


def test_every_rank_reads_the_whole_model_that_deepspeed_casts(check):
    """4 bytes of each weight, eight times."""
    zero2 = {"distributed.zeroStage": 2, "distributed.offload": {}, "resources.memory": "200Gi"}
    (found,) = about_the_pods(check(OFFLOADED_8B | zero2))
    assert "the 239 GiB of this model" in found.message


@pytest.mark.parametrize("method", [{"method.type": "lora"}, {k: QLORA_8B[k] for k in list(QLORA_8B)[1:3]}])
def test_a_base_that_is_only_adapted_goes_straight_to_the_device(check, method):
    changes = QLORA_8B | {"quantization.type": "none"} | method | {"resources.memory": "8Gi"}
    assert about_the_pods(check(changes)) == []


def test_the_estimator_is_not_imported_for_other_jobs(make_job, monkeypatch):
    from finetune_api import validate_job

    for name in [name for name in sys.modules if name.startswith("finetune_api.estimate")]:
        monkeypatch.delitem(sys.modules, name)
    validate_job(make_job({"resources.accelerators": {"perNode": 1}}))
    assert "finetune_api.estimate" not in sys.modules
