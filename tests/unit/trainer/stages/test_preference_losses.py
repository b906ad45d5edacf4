"""Losses on pairs: the numbers of TRL's, on the same log-probabilities or the same batch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune_api.stages import DpoSpec
from finetune_trainer.stages.dpo import DirectPreference
from finetune_trainer.stages.likelihoods import Likelihood
from finetune_trainer.stages.preference_losses import LOSSES, Comparison, pair_loss, rewards
from finetune_trainer.stages.reference import Reference


def answers(*totals: float, tokens: int = 4) -> Likelihood:
    return Likelihood(torch.tensor(totals), torch.full((len(totals),), tokens))


PAIRS = Comparison(
    chosen=answers(-3.0, -8.0),
    rejected=answers(-6.0, -5.0, tokens=7),
    reference_chosen=answers(-4.0, -7.0),
    reference_rejected=answers(-5.0, -6.0, tokens=7),
)
"""One pair in which the model has learned the preference, one in which it has learned its opposite."""


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_is_lower_where_the_preference_is_learned(name: str) -> None:
    losses = pair_loss(PAIRS, DpoSpec(loss_type=name, beta=1.0))
    assert losses[0] < losses[1]


def test_without_a_reference_the_reward_is_the_log_probability_per_token() -> None:
    chosen, rejected = rewards(PAIRS, DpoSpec(loss_type="simpo", beta=2.0))
    assert chosen.tolist() == [-1.5, -4.0]
    assert rejected.tolist() == pytest.approx([-12 / 7, -10 / 7])


def test_the_likelihood_of_the_chosen_answer_can_be_added() -> None:
    without, with_it = (pair_loss(PAIRS, DpoSpec(sft_weight=weight)) for weight in (0.0, 2.0))
    assert (with_it - without).tolist() == pytest.approx([2 * 0.75, 2 * 2.0])


@pytest.mark.parametrize("name", ["orpo", "simpo"])
def test_a_filler_has_no_share_in_the_gradient(name: str) -> None:
    """The odds of an answer without tokens, and their gradient, are not finite."""
    model = torch.nn.Embedding(4, 4)
    ids = torch.tensor([[1, 2], [0, 0], [1, 3], [0, 0]])
    labels = ids.masked_fill(ids == 0, -100)
    batch = {"input_ids": ids, "attention_mask": ids, "labels": labels}
    objective = DirectPreference(DpoSpec(loss_type=name), None)
    outcome = objective.loss(lambda input_ids, **_others: SimpleNamespace(logits=model(input_ids)), batch)
    outcome.total.backward()
    assert int(objective.items(batch)) == 1
    assert model.weight.grad is not None
    assert bool(torch.isfinite(model.weight.grad).all())
    assert bool((model.weight.grad[1] != 0).any())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'")
def test_simpo_and_orpo_are_those_of_trl() -> None:
    from trl.experimental.cpo.cpo_trainer import CPOTrainer
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    settings = SimpleNamespace(
        accelerator=SimpleNamespace(device="cpu"),
        loss_type="simpo",
        simpo_gamma=0.5,
        alpha=0.0,
        beta=2.0,
        label_smoothing=0.1,
    )
    chosen, rejected = PAIRS.chosen.mean, PAIRS.rejected.mean
    theirs, *_ = CPOTrainer.cpo_loss(settings, chosen, rejected)
    ours = pair_loss(PAIRS, DpoSpec(loss_type="simpo", beta=2.0, label_smoothing=0.1))
    torch.testing.assert_close(ours, theirs)

    ratio, *_ = ORPOTrainer.odds_ratio_loss(settings, chosen, rejected)
    torch.testing.assert_close(pair_loss(PAIRS, DpoSpec(loss_type="orpo", beta=2.0)), -chosen - ratio)


class Copy(Reference):
    """A model as the reference."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = self.model(**inputs).logits
        return logits


@pytest.fixture
def trl(tiny_model: Path, tmp_path: Path) -> Any:
    """TRL's trainer on the tiny model, whose weights are not those of the reference any more."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model, reference = (AutoModelForCausalLM.from_pretrained(tiny_model) for _ in range(2))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    return DPOTrainer(
        model=model,
        ref_model=reference,
        args=DPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=Dataset.from_list([{"prompt": "add 1 and 2", "chosen": "3", "rejected": "4 5"}]),
        processing_class=tokenizer,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_the_loss_of_a_batch_is_that_of_trl(trl: Any) -> None:
    """Two pairs, padded; the log-probabilities are ours here and TRL's there."""
    ids = torch.randint(4, 250, (4, 12), generator=torch.Generator().manual_seed(1))
    lengths, prompt = torch.tensor([12, 9, 7, 11]), 4
    places = torch.arange(12).expand(4, 12)
    mask = (places < lengths.unsqueeze(1)).long()
    learned = mask * (places >= prompt)
    batch = {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.where(learned.bool(), ids, -100),
    }
    names = {
        "sigmoid": "sigmoid",
        "hinge": "hinge",
        "ipo": "ipo",
        "robust": "robust",
        "bcoPair": "bco_pair",
    }
    trl.model.eval()
    for ours, theirs in names.items():
        spec = DpoSpec(loss_type=ours, beta=0.3, label_smoothing=0.2 if ours == "robust" else 0.0)
        trl.loss_types, trl.loss_weights = [theirs], [1.0]
        trl.beta, trl.label_smoothing = spec.beta, spec.label_smoothing
        inputs = {"input_ids": ids, "attention_mask": mask, "completion_mask": learned}
        expected = trl.compute_loss(trl.model, inputs)
        outcome = DirectPreference(spec, Copy(trl.ref_model)).loss(trl.model, batch)
        torch.testing.assert_close(outcome.total / 2, expected, rtol=1e-4, atol=1e-5)
        measured = {name: values.float().mean().item() for name, values in outcome.measured.items()}
        reported = {name: values[-1] for name, values in trl._metrics["eval"].items()}
        assert measured["rewardMargin"] == pytest.approx(reported["rewards/margins"], rel=1e-3)
        assert measured["rewardAccuracy"] == reported["rewards/accuracies"]
        assert measured["logProbabilityChosen"] == pytest.approx(reported["logps/chosen"], rel=1e-4)
