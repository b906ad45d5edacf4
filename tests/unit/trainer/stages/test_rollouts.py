"""Answers that a model draws: from its own distribution, as the job says."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import small_models
from bandit import Numbers
from finetune_api.stages import SamplingSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.stages.drawn import without_dropout
from finetune_trainer.stages.rollouts import Rollouts, Sampler, inputs_of

PROMPTS: dict[str, Any] = {
    "input_ids": torch.tensor([[0, 5, 9], [7, 3, 2]] * 4),
    "attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]] * 4),
    "expected": [""] * 8,
}


def drawn(model: Any, number: int = 0) -> Rollouts:
    [rollouts] = sampler(model).draw([PROMPTS], number)
    return rollouts


def sampler(model: Any, *, temperature: float = 1.0, together: int = 1) -> Sampler:
    accelerator: Any = SimpleNamespace(
        device=torch.device("cpu"), autocast=nullcontext, num_processes=1, process_index=0
    )
    tokenizer: Any = Numbers()
    spec = SamplingSpec(max_new_tokens=6, temperature=temperature)
    return Sampler(model, tokenizer, spec, accelerator, seed=1, together=together)


def test_what_a_models_authors_advise_for_drawing_is_left_aside() -> None:
    """With a repetition penalty, answers would come from another policy than the one that learns."""
    plain, advised = small_models.model(), small_models.model()
    advised.generation_config.repetition_penalty = 50.0
    advised.generation_config.suppress_tokens = [*range(1, 30)]
    before = advised.generation_config
    assert torch.equal(drawn(plain).ids, drawn(advised).ids)
    assert advised.generation_config is before


def test_a_draw_follows_from_the_seed_and_its_number_alone() -> None:
    model = small_models.model()
    one = drawn(model).ids
    torch.rand(3)
    assert torch.equal(drawn(model).ids, one)
    assert not torch.equal(drawn(model, 1).ids, one)


def test_micro_batches_that_are_answered_together_are_what_they_are_alone() -> None:
    """Prompts and answers of other lengths leave no padding behind."""
    model = small_models.model()
    short = {name: value[:, 1:] if name != "expected" else value for name, value in PROMPTS.items()}
    alone, together = (
        sampler(model, temperature=0, together=count).draw([PROMPTS, short, PROMPTS], 0) for count in (1, 2)
    )
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(one.labels, other.labels)
        assert one.answers == other.answers


def test_answers_that_others_outlast_are_cut_behind_their_longest() -> None:
    tokens = torch.tensor([[4, 0, 9, 9], [4, 6, 0, 9]])
    prompts = torch.tensor([[5], [5]])
    found = sampler(None)._rollouts(prompts, torch.ones_like(prompts), tokens, [0], ["", ""])
    assert found.ids.tolist() == [[5, 4, 0, 9], [5, 4, 6, 0]]
    assert found.mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_an_answer_is_learned_up_to_its_end_and_its_end_with_it() -> None:
    tokens = torch.tensor([[4, 0, 0, 0], [4, 6, 8, 9]])
    prompts = torch.tensor([[5], [5]])
    found = sampler(None)._rollouts(prompts, torch.ones_like(prompts), tokens, [0], ["", ""])
    assert found.labels.tolist() == [[IGNORED, 4, 0, IGNORED, IGNORED], [IGNORED, 4, 6, 8, 9]]
    assert found.mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert [(answer.tokens, answer.ended) for answer in found.answers] == [(2, True), (4, False)]


def test_prompts_that_are_padded_are_as_likely_as_alone() -> None:
    """Padding stands on the left, and positions count from the prompt's own start."""
    model = small_models.model()
    both = drawn(model)
    batch = both.batch()
    together = sampler(model).log_probabilities(model(**inputs_of(batch)).logits, batch["labels"])
    alone = sampler(model).log_probabilities(
        model(both.ids[:1, 1:], both.mask[:1, 1:]).logits, both.labels[:1, 1:]
    )
    torch.testing.assert_close(together[:1, 1:], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_dropout_is_off_wherever_a_model_keeps_its_rate(family: str) -> None:
    rates = {"llama": {"attention_dropout": 0.5}, "gpt2": {"attn_pdrop": 0.5, "resid_pdrop": 0.5}}[family]
    settings = {} if family == "llama" else {"n_embd": 16, "n_layer": 1, "n_head": 4, "n_positions": 16}
    model = small_models.model(family, "eager", **rates, **settings).train()
    ids = torch.tensor([[1, 2, 3, 4]])
    assert not torch.equal(model(ids).logits, model(ids).logits)
    without_dropout(model)
    assert torch.equal(model(ids).logits, model(ids).logits)
