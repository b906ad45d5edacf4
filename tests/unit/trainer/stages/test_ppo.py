"""ppo: the loss on drawn answers, and a run against a reward model that a job of stage rm has made."""

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
def test_the_reward_rises_and_the_output_has_no_value_head(
    stage_job: MakeJob, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # validation refuses the stage until this test has been seen to pass
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
        "maxSteps": 20,
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
    spec = {"method": {"type": method}, "training": training, "checkpoints": {"everySteps": 10}}
    job = stage_job("ppo", spec, records=QUESTIONS, format_="alpaca")
    result = train(job)
    rewards, expected = curve(job, "reward"), curve(job, "valueLoss")
    assert sum(rewards[step] for step in range(15, 21)) > sum(rewards[step] for step in range(1, 7))
    assert expected[20] < expected[1]
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
    spec["training"] |= {"maxSteps": 22}
    longer = stage_job("ppo", spec, records=QUESTIONS, format_="alpaca", attempt=2)
    assert train(longer).resumed_step == 20
    assert curve(longer, "valueLoss")[21] < expected[1]
