"""grpo: advantages within a group, and the loss on drawn answers. What it learns is in `test_bandit.py` and
`test_rewarded_runs.py`, how it is resumed in `test_goes_on.py`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune_api.stages import GrpoSpec, SamplingSpec
from finetune_trainer.data.prompts import RepeatedOrder
from finetune_trainer.engines import native
from finetune_trainer.stages.grpo import GroupRelative
from finetune_trainer.stages.rollouts import Sampler
from one_rank import train
from runs import run
from stage_runs import MakeJob, curve

QUESTIONS = [{"instruction": f"add {a} and {b}", "output": str(a + b)} for a in range(4) for b in range(2)]


def test_a_prompt_is_answered_by_its_whole_group_and_each_batch_is_learned_from_in_passes() -> None:
    order = RepeatedOrder(3, 4, seed=1, shuffle=False, group=2, passes=2)
    # two prompts a step; the last step is filled up
    assert order.steps_per_epoch == 4
    assert [order.step(step) for step in range(4)] == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [2, 2, 3, 3],
        [2, 2, 3, 3],
    ]


def test_a_schedule_that_counts_steps_counts_groups_and_passes(
    stage_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of the eight prompts a step, in three passes: the rate of warmupStableDecay once fell as if the run
    had two steps, and was 0 from then on."""
    grpo = {"rewardFunctions": ["brevity"], "groupSize": 2, "updatesPerBatch": 3}
    training = {"maxSteps": None, "epochs": 1, "grpo": grpo | {"sampling": {"maxNewTokens": 4}}}
    told: list[int | None] = []

    def look(*_arguments: Any) -> None:
        told.append(_arguments[-1])
        raise KeyboardInterrupt

    monkeypatch.setattr(native, "training_arguments", look)
    with pytest.raises(KeyboardInterrupt):
        train(stage_job("grpo", {"training": training}, format_="alpaca", records=QUESTIONS))
    assert told == [12]


def test_answers_are_measured_against_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 1 of 2, micro-batches of two: groups of four lie on both ranks."""
    ranks = SimpleNamespace(num_processes=2, process_index=1)
    objective = GroupRelative(GrpoSpec(group_size=4), sampler(accelerator=ranks), None)
    others = [1.0, 0.0, 0.0, 0.0, 5.0, 5.0, 0.0, 0.0]

    def summed(*values: float) -> tuple[float, ...]:
        return tuple(value + other for value, other in zip(values, others, strict=True))

    monkeypatch.setattr("finetune_trainer.stages.grpo.sum_over_ranks", summed)
    advantages, deviations = objective._advantages([torch.tensor([0.0, 1.0]), torch.tensor([5.0, 5.0])])
    # the first group is 1, 0 | 0, 1; the second 5, 5 | 5, 5
    assert advantages[0].tolist() == pytest.approx([-0.866, 0.866], abs=1e-3)
    assert advantages[1].tolist() == [0, 0]
    assert deviations[0].tolist() == pytest.approx([0.5774, 0.5774], abs=1e-4)


def sampler(**changes: Any) -> Sampler:
    parts: dict[str, Any] = {"model": None, "tokenizer": None, "accelerator": None, "seed": 1}
    return Sampler(spec=SamplingSpec(), **parts | changes)


def batch(now: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two answers of two tokens and one token."""
    labels = torch.tensor([[-100, 1, 2], [-100, 1, -100]])
    return {
        "input_ids": labels,
        "attention_mask": labels,
        "position_ids": labels,
        "labels": labels,
        "real": torch.tensor([True, True]),
        "reward": torch.tensor([1.0, 0.0]),
        "advantage": torch.tensor([1.0, -2.0]),
        "deviation": torch.tensor([0.5, 0.5]),
        "ended": torch.tensor([True, False]),
        "before": now - torch.tensor([[0.5, 0.0], [-0.5, 0.0]]),
        "reference": now,
    }


def test_the_loss_is_clipped_and_is_a_mean_over_each_answer() -> None:
    logits = torch.zeros(2, 3, 4)
    now = torch.full((2, 2), -1.386294)
    now[1, 1] = 0
    outcome = GroupRelative(GrpoSpec(kl_coefficient=0.5), sampler(), None).loss(
        lambda **_inputs: SimpleNamespace(logits=logits), batch(now)
    )
    # e^0.5 is clipped to 1.2, and e^−0.5 to 0.8, where that is the worse of the two
    assert float(outcome.total) == pytest.approx(-(1.2 + 1.0) / 2 + 2 * 0.8, abs=1e-4)
    assert outcome.measured["clipShare"].tolist() == [True, False, True]
    assert outcome.measured["answerTokens"].tolist() == [2, 1]
    assert outcome.measured["kl"].tolist() == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.slow
def test_the_loss_is_that_of_trl() -> None:
    from trl.trainer.grpo_trainer import GRPOTrainer

    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4)
    spec = GrpoSpec(kl_coefficient=0.3)
    rows = batch(torch.zeros(2, 2)) | {"before": torch.randn(2, 2), "reference": torch.randn(2, 2)}
    model = SimpleNamespace(training=True)
    ours = GroupRelative(spec, sampler(), None)
    now = sampler().log_probabilities(logits, rows["labels"])
    accelerator = SimpleNamespace(
        gather=lambda value: value, reduce=lambda value, **_how: value, num_processes=1
    )
    theirs = SimpleNamespace(
        model=model,
        accelerator=accelerator,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=spec.kl_coefficient,
        epsilon_low=spec.clip_range,
        epsilon_high=spec.clip_range,
        loss_type="grpo",
        use_vllm=False,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        use_adaptive_entropy=False,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False),
        _metrics={"train": Lists()},
        _get_per_token_logps_and_entropies=lambda *_args, **_kwargs: (now, torch.zeros(2, 2), None),
    )
    inputs = {
        "prompt_ids": torch.ones(2, 1, dtype=torch.long),
        "prompt_mask": torch.ones(2, 1, dtype=torch.long),
        "completion_ids": torch.ones(2, 2, dtype=torch.long),
        "completion_mask": (rows["labels"][:, 1:] != -100).long(),
        "advantages": rows["advantage"],
        "old_per_token_logps": rows["before"],
        "ref_per_token_logps": rows["reference"],
    }
    expected = GRPOTrainer._compute_loss(theirs, model, inputs)
    outcome = ours.loss(lambda **_inputs: SimpleNamespace(logits=logits), rows)
    torch.testing.assert_close(outcome.total / 2, expected)


class Lists(dict[str, list[float]]):
    """A list for every key."""

    def __missing__(self, key: str) -> list[float]:
        return self.setdefault(key, [])


def settings(**grpo: Any) -> dict[str, Any]:
    return {
        "checkpoints": {"everySteps": 0},
        "training": {
            "maxSteps": 12,
            "microBatchSize": 8,
            "gradientAccumulationSteps": 2,
            "maxSequenceLength": 64,
            "grpo": {
                "rewardFunctions": ["ended", "brevity"],
                "groupSize": 4,
                "sampling": {"maxNewTokens": 24},
                **grpo,
            },
        },
    }


@pytest.mark.slow
def test_groups_that_lie_on_two_ranks_are_groups(stage_job: MakeJob, tmp_path: Path) -> None:
    spec = settings() | {"distributed": {"processesPerNode": 2, "zeroStage": 2}}
    spec["training"] |= {"maxSteps": 3, "microBatchSize": 2, "gradientAccumulationSteps": 2}
    job = stage_job("grpo", spec, records=QUESTIONS, format_="alpaca")
    run(job, tmp_path / "b")
    assert list(curve(job, "reward")) == [1, 2, 3]
    deviations = curve(job, "rewardDeviation").values()
    assert max(deviations) > 0, "ranks draw different answers to the same prompt"
