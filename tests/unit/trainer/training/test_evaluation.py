"""Sums of the evaluation loop."""

import pytest
import torch
import torch.nn.functional as functional

from finetune_api.evaluation import EvaluationSpec
from finetune_trainer.training import evaluation as loop
from finetune_trainer.training.evaluation import EvaluationSums, named, scores

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "sum_over_ranks", lambda *values: values)


def batch(seed: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Summed loss, logits and labels of two sequences, whose first half is not supervised."""
    torch.manual_seed(seed)
    logits, labels = torch.randn(2, tokens, 5), torch.randint(0, 5, (2, tokens))
    labels[:, : tokens // 2] = -100
    loss = functional.cross_entropy(logits[:, :-1].reshape(-1, 5), labels[:, 1:].reshape(-1), reduction="sum")
    return loss, logits, labels


def expected(batches: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Loss and accuracy counted token by token."""
    loss, right, tokens = 0.0, 0, 0
    for summed, logits, labels in batches:
        loss += float(summed)
        for row in range(labels.shape[0]):
            for position in range(1, labels.shape[1]):
                if labels[row, position] != -100:
                    tokens += 1
                    right += int(logits[row, position - 1].argmax() == labels[row, position])
    return loss / tokens, right / tokens


@pytest.mark.parametrize("every", [None, 1, 2, 7])
def test_means_are_over_supervised_tokens_whatever_is_kept_on_the_device(every: int | None) -> None:
    batches = [batch(seed, tokens) for seed, tokens in ((1, 8), (2, 20), (3, 5))]
    sums = EvaluationSums(EvaluationSpec(metrics=["tokenAccuracy"], accumulation_steps=every), CPU)
    for each in batches:
        sums.add(*each)
    loss, accuracy = expected(batches)
    found = sums.metrics()
    assert found["eval_loss"] == pytest.approx(loss)
    assert found["eval_token_accuracy"] == pytest.approx(accuracy)
    assert 0 < accuracy < 1


def test_accuracy_is_counted_only_where_it_is_asked_for() -> None:
    sums = EvaluationSums(EvaluationSpec(), CPU)
    sums.add(*batch(1, 8))
    assert set(sums.metrics()) == {"eval_loss"}


def test_files_hold_all_scores_and_the_status_those_asked_for() -> None:
    found = scores({"eval_loss": 0.0, "eval_token_accuracy": 0.5})
    assert found == {"loss": 0.0, "perplexity": 1.0, "tokenAccuracy": 0.5}
    assert named(found) == {"evalLoss": 0.0, "evalPerplexity": 1.0, "evalTokenAccuracy": 0.5}
    assert named(found, only=EvaluationSpec()) == {"evalLoss": 0.0}
    assert named(found, only=EvaluationSpec(metrics=["perplexity"])) == {
        "evalLoss": 0.0,
        "evalPerplexity": 1.0,
    }
