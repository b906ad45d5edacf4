"""The model's own dropout, which GPT-2 has: what it keeps, and what it moves."""

import pytest

from finetune_api.estimate import setup_for
from finetune_api.estimate.activations import layer_activations
from finetune_api.estimate.operations import pass_work
from finetune_api.estimate.parameters import count_parameters

HEADS, HIDDEN, LENGTH = 12, 768, 1024
GPT2 = {"model.id": "gpt2", "method.type": "full", "training.maxSequenceLength": LENGTH}


@pytest.fixture
def setup(job, a100):
    """A setup of GPT-2 with the changes, and whether it has dropout."""

    def make(changes, dropout=True):
        config = {"architecture": "gpt2", "hiddenSize": HIDDEN, "attentionHeads": HEADS, "layers": 12}
        body = job(GPT2 | changes).to_json_object()
        if not dropout:
            body["spec"]["model"] |= {"config": config | {"vocabSize": 50257, "maxPositionEmbeddings": 1024}}
            del body["spec"]["model"]["id"]
        return setup_for(type(job()).from_json_object(body), a100)

    return make


@pytest.mark.parametrize(
    ("attention", "precision", "scores"),
    [
        ("sdpa", "bf16", 0),  # its kernels draw the mask again
        ("eager", "bf16", 1),  # a mask of one byte
        ("eager", "fp32", 5),  # and a result that is not the softmax itself
    ],
)
def test_dropout_keeps_masks_and_in_eager_attention_its_result(setup, attention, precision, scores):
    changes = {"model.attention": attention, "training.precision": precision}
    with_it, without = (setup(changes, dropout) for dropout in (True, False))
    grown = layer_activations(with_it, count_parameters(with_it), LENGTH)
    grown -= layer_activations(without, count_parameters(without), LENGTH)
    assert grown == scores * HEADS * LENGTH + 2 * HIDDEN


def test_dropout_moves_what_it_reads_and_writes(setup):
    with_it, without = (setup({"model.attention": "eager"}, dropout) for dropout in (True, False))
    moved = [pass_work(it, count_parameters(it), LENGTH).moved for it in (with_it, without)]
    scores = 2 * (2 * 2 + 1) * HEADS * LENGTH  # forward and backward, in bf16
    residuals = 3 * 2 * (2 * 4 + 1) * HIDDEN  # twice as much backward, in fp32
    assert moved[0] - moved[1] == 12 * (scores + residuals)


def test_no_dropout_of_the_model_while_answers_are_drawn_and_learned_from(setup):
    assert setup({}).attention_dropout
    assert not setup({"training.stage": "grpo"}).attention_dropout


def test_a_llama_has_none(job, a100):
    assert not setup_for(job(), a100).attention_dropout


@pytest.mark.slow
@pytest.mark.parametrize(("type_name", "kept"), [("float32", 4 + 4 + 1), ("bfloat16", 4 + 2 + 1)])
def test_a_device_keeps_of_each_score_what_we_say(type_name, kept):
    """On a device that is made up: CUDA's kernel keeps a mask, where the processor's keeps the noise."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        dtype = getattr(torch, type_name)
        scores = torch.empty(1, 2, 8, 8, device="cuda", dtype=dtype, requires_grad=True)
        values = torch.empty(1, 2, 8, 4, device="cuda", dtype=dtype)
        sizes = []

        def pack(tensor):
            sizes.append((tensor.numel(), tensor.element_size()))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            chances = torch.softmax(scores, -1, dtype=torch.float32).to(dtype)
            torch.nn.functional.dropout(chances, 0.1) @ values.requires_grad_()
    assert sum(size for count, size in sizes if count == 128) == kept
