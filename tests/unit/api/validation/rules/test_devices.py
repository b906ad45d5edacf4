import pytest


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_some_precisions_need_an_accelerator(brief, precision):
    changes = {"training.precision": precision}
    assert brief(changes) == [("error", "PrecisionDeviceMismatch", "training.precision")]
    found = brief(changes | {"resources.accelerators.perNode": 1})
    assert [severity for severity, _, _ in found if severity == "error"] == []


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_other_precisions_run_on_the_cpu(brief, precision):
    assert brief({"training.precision": precision}) == []


CPU = {"resources.accelerators.perNode": 0}
GPU = {"resources.accelerators.perNode": 1}


@pytest.mark.parametrize("attention", ["flash_attention_2", "flash_attention_3"])
def test_flash_attention_needs_an_accelerator_that_is_not_too_old(brief, attention):
    changes = {"model.attention": attention}
    refused = [("error", "DeviceMismatch", "model.attention")]
    assert brief(changes | CPU) == refused
    assert brief(changes | GPU) == []
    assert brief(changes | GPU | {"resources.accelerators.type": "NVIDIA-Tesla-V100-32GB"}) == refused
    assert brief(changes | GPU | {"resources.accelerators.type": "A100"}) == []


def test_flex_attention_trains_on_an_accelerator_only(brief):
    changes = {"model.attention": "flex_attention"}
    assert brief(changes | CPU) == [("error", "DeviceMismatch", "model.attention")]
    assert brief(changes | GPU) == []


@pytest.mark.parametrize("optimizer", ["pagedAdamw", "pagedAdamw8bit", "pagedLion", "pagedLion8bit"])
def test_paged_optimizers_need_an_accelerator(brief, optimizer):
    changes = {"training.optimizer": optimizer}
    assert brief(changes | CPU) == [("error", "DeviceMismatch", "training.optimizer")]
    assert brief(changes | GPU) == []


@pytest.mark.parametrize("kernels", ["liger", "unsloth"])
def test_kernels_need_an_accelerator(brief, kernels):
    changes = {"model.kernels": kernels}
    assert brief(changes | CPU) == [("error", "DeviceMismatch", "model.kernels")]
    assert brief(changes | GPU) == []


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
@pytest.mark.parametrize(
    ("kind", "old"), [("t4", True), ("Tesla P100", True), ("L4", False), ("h100-sxm", False)]
)
def test_old_accelerators_do_not_compute_in_bf16(brief, precision, kind, old):
    found = brief(GPU | {"training.precision": precision, "resources.accelerators.type": kind})
    assert found == ([("warning", "PrecisionDeviceMismatch", "training.precision")] if old else [])


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_flash_attention_computes_in_16_bit(brief, precision):
    gpu = {"resources.accelerators.perNode": 1, "model.attention": "flash_attention_2"}
    refused = ("error", "Conflict", "model.attention")
    assert refused in brief(gpu | {"training.precision": precision})
    assert brief(gpu | {"training.precision": "bf16"}) == []
