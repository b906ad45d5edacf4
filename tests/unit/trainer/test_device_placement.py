"""Every tensor where it belongs: whole runs on a GPU that is pretended (`pretended_gpu.py`), from the first
weight that is read to the proof of the output. A tensor on the wrong device ends them, as it does on a GPU.

By default a few; FINETUNE_ALL_COMBINATIONS=1 runs every stage in every arithmetic, and many ways to train.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from breadth import EVERYTHING
from finetune_api import ResolvedJob
from finetune_trainer import assembly
from finetune_trainer.errors import InterruptedRunError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stages.rollouts import Rollouts
from interpreted_triton import train_interpreted
from one_rank import StopAfter, train
from pretended_gpu import MixedDevicesError, OnGpu, pretended_gpu
from stage_data import STAGES
from stage_runs import curve, weights

MakeJob = Callable[..., ResolvedJob]
WriteJsonl = Callable[..., Path]
GpuJob = Callable[..., ResolvedJob]

LORA: dict[str, Any] = {"type": "lora", "lora": {"rank": 4}}
CHANGES: dict[str, dict[str, Any]] = {
    "lora, merged": {"method": LORA, "output": {"mergeAdapter": True}},
    "dora": {"method": LORA | {"type": "dora"}},
    "pissa": {"method": LORA | {"type": "pissa"}},
    "rslora": {"method": LORA | {"type": "rslora"}},
    "eva": {"method": {"type": "lora", "lora": {"rank": 2, "initialization": "eva"}}},
    "freeze": {"method": {"type": "freeze", "freeze": {"trainableLayers": 1}}},
    "spectrum": {"method": {"type": "spectrum", "spectrum": {"topFraction": 0.5}}},
    "packing": {"dataset": {"packing": True}},
    "best": {"output": {"checkpoint": "best"}},
    "gradient checkpointing": {"training": {"gradientCheckpointing": "full"}},
    "token accuracy": {"evaluation": {"metrics": ["tokenAccuracy"]}},
    "adamw8bit": {"training": {"optimizer": "adamw8bit"}},
    "adamwFused": {"training": {"optimizer": "adamwFused"}},
    "galoreAdamw": {"training": {"optimizer": "galoreAdamw"}},
    "scheduleFreeAdamw": {
        "training": {"optimizer": "scheduleFreeAdamw", "schedule": {"type": "constant"}},
    },
}
A_FEW = ["dpo-fp16", "ppo-auto"]
RUNS = [f"{stage}-{precision}" for stage in STAGES for precision in ("auto", "fp32", "tf32", "fp16")]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with pretended_gpu(monkeypatch):
        yield


@pytest.fixture
def gpu_job(make_job: MakeJob, write_jsonl: WriteJsonl, tiny_model: Path, tmp_path: Path) -> GpuJob:
    """A job of a stage on one GPU, which also evaluates, and answers prompts where it can."""

    def make(stage: str = "sft", attempt: int = 1, device: str = "cuda", **changes: Any) -> ResolvedJob:
        layout, records, settings = STAGES[stage]
        data = {"path": str(write_jsonl(records, "records.jsonl"))}
        if stage == "ppo":
            settings = {"ppo": settings["ppo"] | {"rewardModelPath": str(judge(tiny_model, tmp_path))}}
        answers = {"prompts": ["add 1 and 2"], "sampling": {"maxNewTokens": 3}}
        spec: dict[str, Any] = {
            "dataset": {"format": layout, "train": data, "eval": data},
            "evaluation": {"everySteps": 1} | ({} if stage == "rm" else {"generations": answers}),
            "training": {"stage": stage, "maxSteps": 2, **settings},
            "checkpoints": {"everySteps": 1},
            "distributed": {"backend": "gloo"},
            "resources": {"accelerators": {"perNode": int(device == "cuda")}},
        }
        for section, change in changes.items():
            spec[section] = spec.get(section, {}) | change
        run = tmp_path / f"run-{device}"
        return make_job(spec, attempt=attempt, run_directory=run).model_copy(update={"device": device})

    return make


def judge(model: Path, directory: Path) -> Path:
    """A reward model."""
    made = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1, pad_token_id=0)
    made.save_pretrained(directory / "judge")
    AutoTokenizer.from_pretrained(model).save_pretrained(directory / "judge")
    return directory / "judge"


@pytest.mark.usefixtures("gpu")
def test_the_pretended_gpu_computes_as_the_cpu_does() -> None:
    layer = torch.nn.Linear(3, 2)
    given = torch.randn(4, 3)
    expected = torch.autograd.grad(layer(given).pow(2).sum(), layer.weight)[0]
    layer.to("cuda")
    weight = layer.weight
    assert (weight.device.type, weight.is_leaf, type(weight)) == ("cuda", True, OnGpu)
    layer(given.to("cuda", non_blocking=True)).pow(2).sum().backward()
    assert weight.grad is not None
    assert weight.grad.is_cuda
    assert torch.allclose(weight.grad.cpu(), expected)
    assert torch.zeros(2, device="cuda:0").device == weight.device


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "mix",
    [
        lambda gpu, cpu: gpu @ cpu,
        lambda gpu, cpu: gpu + cpu,
        lambda gpu, cpu: torch.cat([gpu, cpu]),
        lambda gpu, cpu: cpu[gpu.argmax(dim=1)],
        lambda gpu, cpu: torch.where(gpu > 0, gpu, cpu),
        lambda gpu, _: gpu.numpy(),
    ],
)
def test_the_pretended_gpu_refuses_what_a_gpu_refuses(mix: Callable[[Any, Any], Any]) -> None:
    with pytest.raises((MixedDevicesError, TypeError), match="cuda:0"):
        mix(torch.ones(2, 2, device="cuda"), torch.ones(2, 2))


@pytest.mark.usefixtures("gpu")
def test_the_pretended_gpu_takes_what_a_gpu_takes() -> None:
    gpu = torch.ones(2, 2, device="cuda")
    assert (gpu * torch.tensor(2.0)).tolist() == [[2, 2], [2, 2]]
    assert gpu[torch.tensor([0])].is_cuda
    assert torch.zeros(2, 2).copy_(gpu).tolist() == gpu.tolist()


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("run", RUNS if EVERYTHING else A_FEW)
def test_each_stage_runs_on_a_gpu(gpu_job: GpuJob, run: str) -> None:
    stage, precision = run.split("-")
    assert train(gpu_job(stage, training={"precision": precision})).outcome == "succeeded"


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("change", CHANGES if EVERYTHING else [])
def test_each_way_to_train_runs_on_a_gpu(gpu_job: GpuJob, change: str) -> None:
    assert train(gpu_job(**CHANGES[change])).outcome == "succeeded"


@pytest.mark.slow
def test_a_run_that_goes_on_from_a_checkpoint_on_a_gpu_learns_what_it_does_on_a_cpu(
    gpu_job: GpuJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"training": {"precision": "fp32", "maxSteps": 3}}
    asked: list[str] = []
    monkeypatch.setattr(assembly, "multiply_in", asked.append)
    on_cpu = gpu_job(device="cpu", **settings)
    train(on_cpu)
    on_gpu, reporter = gpu_job(**settings), Reporter([])
    with pretended_gpu(monkeypatch):
        with pytest.raises(InterruptedRunError, match="stopped after step 2"):
            train(on_gpu, reporter, StopAfter(reporter, 3))
        assert train(gpu_job(attempt=2, **settings)).resumed_step == 2
    assert curve(on_gpu) == pytest.approx(curve(on_cpu), rel=1e-4)
    assert asked == ["fp32"] * 3, "nothing less"
    learned = weights(on_cpu)
    assert all(torch.allclose(each, learned[name], atol=1e-3) for name, each in weights(on_gpu).items())


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES if EVERYTHING else ["sft"])
def test_ligers_kernels_learn_what_a_models_own_layers_do(
    gpu_job: GpuJob, tiny_model: Path, tmp_path: Path, stage: str
) -> None:
    def job(device: str, kernels: str) -> ResolvedJob:
        model = {"path": str(tiny_model), "kernels": kernels}
        return gpu_job(stage, device=device, model=model, training={"precision": "fp32"})

    plain, fused = job("cpu", "none"), job("cuda", "liger")
    train(plain)
    assert train_interpreted(fused, tmp_path)["kernels"] == "liger"
    assert curve(fused) == pytest.approx(curve(plain), rel=1e-4, abs=1e-6)
    # ppo's loss is nothing but rounding at first; its gradient is not
    assert curve(fused, "gradNorm") == pytest.approx(curve(plain, "gradNorm"), rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
def test_a_tensor_in_the_wrong_place_ends_the_run(gpu_job: GpuJob, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Rollouts.batch
    monkeypatch.setattr(Rollouts, "batch", lambda drawn: plain(drawn) | {"labels": drawn.labels.cpu()})
    with pytest.raises(MixedDevicesError, match="cuda:0, and of the CPU"):
        train(gpu_job("grpo", training={"grpo": STAGES["grpo"][2]["grpo"] | {"updatesPerBatch": 2}}))
