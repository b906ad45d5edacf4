import pytest

SHARED = {"checkpoints.storage.accessModes": ["ReadWriteMany"]}


@pytest.mark.parametrize(("stage", "fits"), [(0, False), (1, True), (2, True), (3, True)])
def test_optimizer_offload_needs_zero(brief, stage, fits):
    found = brief({"distributed": {"zeroStage": stage, "offload": {"optimizer": "cpu"}}})
    assert found == ([] if fits else [("error", "Requires", "distributed.offload.optimizer")])


@pytest.mark.parametrize(("stage", "fits"), [(0, False), (2, False), (3, True)])
def test_parameter_offload_needs_zero_3(brief, stage, fits):
    found = brief({"distributed": {"zeroStage": stage, "offload": {"parameters": "cpu"}}})
    assert found == ([] if fits else [("error", "Requires", "distributed.offload.parameters")])


def test_an_optimizer_that_deepspeed_would_replace_under_offload_is_refused(brief):
    changes = {
        "distributed": {"zeroStage": 2, "offload": {"optimizer": "cpu"}},
        "training.optimizer": "lion8bit",
    }
    assert brief(changes) == [("error", "OffloadOptimizer", "training.optimizer")]


@pytest.mark.parametrize(
    ("ours", "raw", "replaced"),
    [
        ("none", {"offload_optimizer": {"device": "cpu"}}, True),
        ("none", {"offload_optimizer": {"device": "nvme"}}, True),
        ("none", {"offload_optimizer": {"device": "none"}}, False),
        ("cpu", {"offload_optimizer": "auto"}, True),
        ("cpu", {"offload_optimizer": {"device": "none"}}, False),
    ],
)
def test_what_is_offloaded_is_read_from_the_merged_configuration(brief, ours, raw, replaced):
    settings = {"zeroStage": 2, "offload": {"optimizer": ours}, "deepspeedConfig": {"zero_optimization": raw}}
    found = brief({"distributed": settings, "training.optimizer": "lion8bit"})
    assert found == ([("error", "OffloadOptimizer", "training.optimizer")] if replaced else [])


def test_a_raw_offload_needs_zero_too(brief):
    raw = {"zero_optimization": {"offload_optimizer": {"device": "cpu"}}}
    path = "distributed.deepspeedConfig.zero_optimization.offload_optimizer"
    assert brief({"distributed": {"deepspeedConfig": raw}}) == [("error", "Requires", path)]


@pytest.mark.parametrize("settings", [{"zeroStage": 1}, {"deepspeedConfig": {}}])
def test_plain_torch_has_no_zero(brief, settings):
    changes = {"distributed": {"engine": "torch", **settings}}
    assert brief(changes) == [("error", "Conflict", "distributed.engine")]


def test_there_are_not_more_processes_than_accelerators(brief):
    changes = {"distributed.processesPerNode": 3, "resources.accelerators.perNode": 2}
    assert brief(changes) == [("error", "Conflict", "distributed.processesPerNode")]
    assert brief({"distributed.processesPerNode": 3}) == []


def test_nccl_needs_gpus(brief):
    assert brief({"distributed.backend": "nccl"}) == [("error", "Conflict", "distributed.backend")]
    assert brief({"distributed.backend": "nccl", "resources.accelerators.perNode": 1}) == []


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"train_micro_batch_size_per_gpu": 2}, "train_micro_batch_size_per_gpu"),
        ({"gradient_accumulation_steps": 4}, "gradient_accumulation_steps"),
        ({"train_batch_size": 16}, "train_batch_size"),
        ({"gradient_clipping": 0.5}, "gradient_clipping"),
        ({"zero_optimization": {"stage": 1}}, "zero_optimization.stage"),
        ({"optimizer": {"type": "Lamb"}}, "optimizer"),
        ({"scheduler": {"type": "WarmupLR"}}, "scheduler"),
        ({"fp16": {"enabled": False}}, "fp16"),
        ({"bf16": {"enabled": True}}, "bf16"),
        ({"gradient_clipping": None}, "gradient_clipping"),
        ({"gradient_accumulation_steps": True}, "gradient_accumulation_steps"),
        ({"zero_optimization": 5}, "zero_optimization"),
        ({"zero_optimization": None}, "zero_optimization"),
        ({"activation_checkpointing": []}, "activation_checkpointing"),
    ],
)
def test_a_raw_configuration_may_not_contradict_the_spec(brief, config, key):
    changes = {"distributed": {"processesPerNode": 2, "zeroStage": 2, "deepspeedConfig": config}}
    assert brief(changes) == [("error", "DeepSpeedConflict", f"distributed.deepspeedConfig.{key}")]


def test_a_raw_configuration_may_repeat_the_spec_or_leave_it_open(brief):
    config = {
        "train_batch_size": 32,
        "gradient_accumulation_steps": "auto",
        "zero_optimization": {"stage": 2, "overlap_comm": True},
        "bf16": {"enabled": True},
        "fp16": "auto",
        "optimizer": "auto",
    }
    changes = {
        "distributed": {"processesPerNode": 2, "zeroStage": 2, "deepspeedConfig": config},
        "training.precision": "bf16",
    }
    assert brief(changes) == []


def test_nodes_that_share_a_volume_for_one_machine_are_warned_about(brief):
    assert brief({"distributed.nodes": 2}) == [("warning", "SharedVolume", "checkpoints.storage.accessModes")]
    assert brief({"distributed.nodes": 2, **SHARED}) == []


@pytest.mark.parametrize(("seconds", "processes", "short"), [(299, 2, True), (300, 2, False), (10, 1, False)])
def test_ranks_wait_for_one_another_long_enough(brief, seconds, processes, short):
    found = brief({"distributed": {"timeoutSeconds": seconds, "processesPerNode": processes}})
    assert found == ([("suggestion", "ShortTimeout", "distributed.timeoutSeconds")] if short else [])
