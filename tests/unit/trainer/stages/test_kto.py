"""kto: the loss on answers that are desired or not, and whole runs."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune_api.stages import KtoSpec
from finetune_trainer.errors import DataError
from finetune_trainer.stages.kto import KahnemanTversky
from finetune_trainer.stages.reference import Reference
from one_rank import train
from stage_runs import MakeJob, curve

ONCE = {"checkpoints": {"everySteps": 0}}
LABELLED = [
    {"prompt": f"add {a} and {b}", "completion": str(a + b) if good else f"user {a}", "label": good}
    for a in range(5)
    for b in range(4)
    for good in (True, False)
]


class Tokens(torch.nn.Module):
    """Gives the token after each one this log-probability, and another token the rest."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, input_ids: torch.Tensor, **_kwargs: Any) -> Any:
        share = torch.full((*input_ids.shape, 4), 0.0)
        nexts = input_ids.roll(-1, dims=1).unsqueeze(-1)
        share.scatter_(2, nexts, self.probability)
        share[..., 0] += 1 - self.probability
        return SimpleNamespace(logits=share.clamp(min=1e-9).log())


class Known(Reference):
    def __init__(self, model: Tokens) -> None:
        self.model = model

    def logits(self, inputs: dict[str, Any]) -> torch.Tensor:
        found: torch.Tensor = self.model(**inputs).logits
        return found


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_trainer.stages.kto.sum_over_ranks", lambda *values: values)


def batch(*desired: bool, filler: bool = False) -> dict[str, torch.Tensor]:
    """Rows of a prompt of one token and an answer of two."""
    ids = torch.tensor([[1, 2, 3]] * len(desired))
    labels = torch.tensor([[-100, 2, 3]] * len(desired))
    if filler:
        labels[-1] = -100
    other = {f"other_{name}": value for name, value in (("input_ids", ids), ("labels", labels))}
    mask = torch.ones_like(ids)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "desired": torch.tensor(desired),
        "other_attention_mask": mask,
        **other,
    }


def objective(model: float, reference: float, **settings: Any) -> tuple[KahnemanTversky, Tokens]:
    trained = Tokens(model)
    return KahnemanTversky(KtoSpec(**settings), trained, Known(Tokens(reference))), trained


def test_the_loss_is_that_of_the_paper() -> None:
    """Both ratios are 2 ln 2, and so is the point: nothing is gained or lost against it."""
    kto, model = objective(0.8, 0.4, beta=0.5, undesirable_weight=3.0)
    outcome = kto.loss(model, batch(True, False))
    assert float(outcome.total) == pytest.approx(0.5 + 3 * 0.5, abs=1e-5)
    assert float(outcome.measured["kl"]) == pytest.approx(2 * 0.693147, abs=1e-4)
    assert outcome.measured["rewardChosen"].tolist() == [pytest.approx(0.693147, abs=1e-4)]


def test_the_point_is_never_below_zero() -> None:
    kto, model = objective(0.4, 0.8, beta=1.0)
    outcome = kto.loss(model, batch(True))
    assert float(outcome.measured["kl"]) == 0
    # a reward of −2 ln 2: 1 − σ(−2 ln 2) = 0.8
    assert float(outcome.total) == pytest.approx(0.8, abs=1e-5)


def test_fillers_do_not_count() -> None:
    kto, model = objective(0.8, 0.4)
    rows = batch(True, False, False, filler=True)
    assert int(kto.items(rows)) == 2
    assert len(kto.loss(model, rows).measured["rewardRejected"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("method", "form"), [("full", "promptCompletion"), ("lora", "preference")])
def test_desired_answers_gain_on_the_others(stage_job: MakeJob, method: str, form: str) -> None:
    training = {"maxSteps": 12, "microBatchSize": 4, "gradientAccumulationSteps": 2}
    records = {"records": LABELLED} if form == "promptCompletion" else {}
    job = stage_job("kto", ONCE | {"method": {"type": method}, "training": training}, format_=form, **records)
    result = train(job)
    desired, other, loss = (curve(job, name) for name in ("rewardChosen", "rewardRejected", "loss"))
    assert loss[1] == pytest.approx(0.5, abs=1e-3)
    assert loss[12] < 0.49
    assert desired[12] > other[12] + 0.1
    assert min(curve(job, "kl").values()) >= 0
    assert result.output is not None
    assert result.output.verified


@pytest.mark.slow
def test_a_record_must_say_whether_its_answer_is_desired(stage_job: MakeJob) -> None:
    job = stage_job("kto", records=[{"prompt": "a", "completion": "b"}], format_="promptCompletion")
    with pytest.raises(DataError, match=r"kto.jsonl, line 1: the record does not say .* 'label'"):
        train(job)
