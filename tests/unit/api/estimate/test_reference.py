"""What comparing with the model as it started costs."""

import pytest

from finetune_api.estimate import setup_for
from finetune_api.estimate.memory import weight_memory
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.throughput import flops_per_token, throughput

FULL = {"method.type": "full"}
KL = {"training.stage": "grpo", "training.grpo.klCoefficient": 0.1}


@pytest.mark.parametrize(
    ("changes", "copies", "forwards"),
    [
        ({"training.stage": "sft"}, 0, 0),
        ({"training.stage": "dpo"}, 0, 1),
        ({"training.stage": "dpo"} | FULL, 1, 1),
        ({"training.stage": "dpo", "method.type": "pissa"}, 1, 1),
        ({"training.stage": "dpo", "method.lora.bias": "all"}, 1, 1),
        ({"training.stage": "dpo", "training.dpo.referenceModel": "meta-llama/Llama-3.1-8B-Instruct"}, 1, 1),
        ({"training.stage": "dpo", "training.dpo.lossType": "orpo"} | FULL, 0, 0),
        ({"training.stage": "kto"} | FULL, 1, 3),
        ({"training.stage": "grpo"} | FULL, 0, 0),
        (KL, 0, 1),
        (KL | FULL, 1, 1),
        (KL | {"training.grpo.updatesPerBatch": 4}, 0, 0.5),  # the reference and the policy, once for four
        ({"training.stage": "ppo"} | FULL, 1, 0.75),  # the policy, the reference and the reward model
        ({"training.stage": "ppo", "training.ppo.updatesPerBatch": 1}, 0, 3),
    ],
)
def test_a_stage_needs_so_many_copies_and_forward_passes(job, a100, changes, copies, forwards):
    setup = setup_for(job(changes), a100)
    assert (setup.reference_copy, setup.extra_forwards) == (copies == 1, forwards)


def test_the_copy_has_the_type_of_the_weights(job, a100):
    """Fully trained weights are fp32, and so is their copy, but for DeepSpeed, which casts both."""
    alone, beside = (setup_for(job(FULL | {"training.stage": stage}), a100) for stage in ("sft", "dpo"))
    assert weight_memory(beside, count_parameters(beside)) == 2 * weight_memory(
        alone, count_parameters(alone)
    )


def test_each_forward_pass_takes_two_operations_per_weight_and_time(job, a100):
    plain, compared = (setup_for(job({"training.stage": stage}), a100) for stage in ("sft", "kto"))
    counts, length = count_parameters(plain), 1
    more = flops_per_token(compared, counts, length) - flops_per_token(plain, counts, length)
    assert more == pytest.approx(3 * 2 * plain.architecture.matmul_parameters, rel=1e-3)
    assert throughput(compared, a100, 2048).step_seconds.low > throughput(plain, a100, 2048).step_seconds.low


def test_kernels_that_fuse_the_loss_do_not_fuse_an_objective_that_needs_logits(job, a100):
    assert setup_for(job({"model.kernels": "liger"}), a100).fused_loss
    assert not setup_for(job({"model.kernels": "liger", "training.stage": "dpo"}), a100).fused_loss
