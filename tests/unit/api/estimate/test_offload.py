"""Time of what is offloaded to the host."""

import pytest

from finetune_api.estimate import setup_for
from finetune_api.estimate.throughput import HOST_LINK, throughput

FULL = {"method.type": "full", "distributed.zeroStage": 3}
P = 8_030_261_248


@pytest.fixture
def step(job, a100):
    """The throughput of a job on so many devices."""
    return lambda changes, devices=1: throughput(setup_for(job(changes), a100, devices), a100, 2048)


def test_offloaded_weights_cross_to_the_device_for_the_forward_and_again_for_the_backward_pass(step):
    found = step(FULL | {"distributed.offload": {"parameters": "cpu"}}).parts["communication"]
    assert found == pytest.approx(2 * 2 * P / HOST_LINK)


def test_each_pass_sends_its_share_of_the_gradients_to_an_offloaded_optimizer(step):
    offload = FULL | {"distributed.offload": {"optimizer": "cpu"}}
    more = step(offload, 4).parts["communication"] - step(FULL, 4).parts["communication"]
    assert more == pytest.approx(2 * P / 4 / HOST_LINK)


def test_the_ranks_of_a_host_share_its_memory_so_that_more_of_them_do_not_step_faster(step):
    offload = FULL | {"distributed.offload": {"optimizer": "cpu"}}
    one, four = step(offload, 1).update_seconds, step(offload, 4).update_seconds
    assert 0.8 * one < four < one  # the weights that come back are shared out
    assert one > 10 * step(FULL, 1).update_seconds
