"""ppo: the loss on drawn answers, and a run against a reward model that a job of stage rm has made.

That the reward rises is not shown here, and has not been seen: the validator refuses the stage (docs/log.md).
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_api.stages import PpoSpec, SamplingSpec
from finetune_trainer import rank
from finetune_trainer.stages.ppo import ProximalPolicy
from finetune_trainer.stages.rollouts import Sampler
from stage_runs import MakeJob, curve, train

ONCE = {"checkpoints": {"everySteps": 0}}
QUESTIONS = [{"instruction": f"add {a} and {b}", "output": str(a + b)} for a in range(4) for b in range(2)]
SHORT = [
    {"prompt": f"add {a} and {b}", "chosen": "3", "rejected": "user and user and user and"}
    for a in range(5)
    for b in range(4)
]


def test_the_loss_is_clipped_and_the_value_head_learns_the_return() -> None:
    """One answer of two tokens; the value head expects 0, the returns are 1 and 2."""
    hidden = torch.zeros(1, 3, 8)
    policy = SimpleNamespace(value_head=lambda states: states.sum(dim=-1))
    sampler = Sampler(model=policy, tokenizer=Any, spec=SamplingSpec(), accelerator=Any, seed=1)
    labels = torch.tensor([[-100, 1, 2]])
    now = torch.full((1, 2), -1.386294)
    batch = {
        "input_ids": labels,
        "attention_mask": labels,
        "position_ids": labels,
        "labels": labels,
        "real": torch.tensor([True]),
        "ended": torch.tensor([True]),
        "reward": torch.tensor([0.3]),
        "before": now - torch.tensor([[0.5, 0.0]]),
        "reference": now - torch.tensor([[0.5, 1.0]]),
        "value": torch.zeros(1, 2),
        "advantage": torch.tensor([[1.0, -1.0]]),
        "return": torch.tensor([[1.0, 2.0]]),
    }
    outputs = SimpleNamespace(logits=torch.zeros(1, 3, 4), hidden_states=(hidden,))
    objective = ProximalPolicy(PpoSpec(value_coefficient=0.5), sampler, None, None)  # type: ignore[arg-type]
    outcome = objective.loss(lambda **_inputs: outputs, batch)
    # the first ratio, e^0.5, is clipped to 1.2
    assert float(outcome.total) == pytest.approx(-1.2 + 1.0 + 0.5 * (0.5 + 2.0), abs=1e-4)
    assert int(objective.items(batch)) == 2
    assert outcome.measured["kl"].tolist() == pytest.approx([0, 1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_trains_a_value_head_that_its_output_does_not_have(
    stage_job: MakeJob, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank, "refuse_invalid", lambda _job: None)
    reward = stage_job(
        "rm",
        ONCE | {"method": {"type": method}, "training": {"maxSteps": 10}},
        records=SHORT,
        run_directory=tmp_path / "reward",
    )
    train(reward)
    (judge,) = (path for path in Path(reward.paths.output_directory).iterdir() if path.is_dir())
    training = {
        "maxSteps": 4,
        "microBatchSize": 16,
        "gradientAccumulationSteps": 2,
        "maxSequenceLength": 48,
        "ppo": {
            "rewardModelPath": str(judge),
            "klCoefficient": 0.01,
            "updatesPerBatch": 2,
            "sampling": {"maxNewTokens": 4},
        },
    }
    spec = {"method": {"type": method}, "training": training, "checkpoints": {"everySteps": 2}}
    job = stage_job("ppo", spec, records=QUESTIONS, format_="alpaca")
    result = train(job)
    assert list(curve(job, "reward")) == list(curve(job, "kl")) == [1, 2, 3, 4]
    (kept,) = Path(job.paths.run_directory).glob("checkpoints/step-00000004/*model.safetensors")
    heads = [weight for name, weight in load_file(kept).items() if "value_head" in name]
    assert any(bool((weight != 0).any()) for weight in heads), "the value head starts at 0, and is trained"
    assert result.output is not None
    assert result.output.verified
    (output,) = Path(job.paths.output_directory).glob("*/*model.safetensors")
    assert not [name for name in load_file(output) if "value_head" in name]
    if method == "lora":
        config = json.loads((output.parent / "adapter_config.json").read_text())
        assert config["modules_to_save"] is None

    if method == "full":
        return
    # the value head is in the checkpoint, though not in the output
    spec["training"] |= {"maxSteps": 6}
    longer = stage_job("ppo", spec, records=QUESTIONS, format_="alpaca", attempt=2)
    assert train(longer).resumed_step == 4
    assert list(curve(longer, "reward"))[-2:] == [5, 6]
