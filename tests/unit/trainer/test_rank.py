"""One rank from start to end: what it leaves behind when it succeeds, fails, is told to stop, or goes on."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_api import ExitCode, Reason, ResolvedJob, TrainingResult
from finetune_trainer import rank
from finetune_trainer.errors import (
    DataError,
    InterruptedRunError,
    InvalidConfigError,
    ModelLoadError,
    OutputInvalidError,
)
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from finetune_trainer.training.trainer import FineTuneTrainer
from one_rank import DiesAt, Killed, StopAfter, train

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow


def metrics(job: ResolvedJob, name: str = "loss") -> dict[int, float]:
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    found = [(line["step"], line[name]) for line in map(json.loads, lines) if name in line]
    assert len(dict(found)) == len(found), "a step is there twice"
    return dict(found)


def weights(job: ResolvedJob, kind: str = "model") -> dict[str, torch.Tensor]:
    name = "adapter_model" if kind == "adapter" else "model"
    return load_file(Path(job.paths.output_directory) / kind / f"{name}.safetensors")


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


FULL: dict[str, Any] = {"method": {"type": "full"}}
PISSA: dict[str, Any] = {
    "method": {"type": "pissa", "lora": {"rank": 4, "dropout": 0.1}},
    "quantization": {"type": "int4"},
}
MIXED: dict[str, Any] = {
    "method": {"type": "dora", "lora": {"learningRateRatio": 4.0}},
    "training": {
        "optimizer": "lion8bit",
        "learningRate": 1e-3,
        "neftuneNoiseAlpha": 5.0,
        "schedule": {"type": "warmupStableDecay"},
    },
}
LORA: dict[str, Any] = {"method": {"type": "lora", "lora": {"dropout": 0.1}}}


@pytest.mark.parametrize(("spec", "kind"), [(FULL, "model"), (LORA, "adapter")])
def test_a_run_leaves_a_verified_output_checkpoints_and_metrics(
    make_job: MakeJob, spec: dict[str, Any], kind: str
) -> None:
    job = make_job(spec)
    reporter = Reporter([])
    result = train(job, reporter)
    assert (result.outcome, result.reason, result.step, result.total_steps) == (
        "succeeded",
        Reason.SUCCEEDED,
        4,
        4,
    )
    assert result.output is not None
    assert (result.output.kind, result.output.verified) == (kind, True)
    assert result.checkpoints is not None
    assert result.checkpoints.latest is not None
    assert result.checkpoints.latest.step == 4
    files = {path.name for path in (Path(job.paths.output_directory) / kind).iterdir()}
    assert {"manifest.json", "tokenizer.json", "chat_template.jinja"} <= files
    assert "training_args.bin" not in files
    assert list(metrics(job)) == [1, 2, 3, 4]
    assert set(result.metrics) >= {"loss", "learningRate", "gradNorm", "tokensPerSecond", "samplesPerSecond"}
    assert reporter.report.effective["precision"] == "fp32"
    assert reporter.report.effective["strategy"] == "one process"


def test_every_key_of_the_metrics_is_documented(make_job: MakeJob) -> None:
    job = make_job({"dataset": {"evalSplit": 0.2}})
    train(job)
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    written = {key for line in lines for key in json.loads(line)}
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert {"perplexity", "remainingSeconds", "memoryBytes", "evalPerplexity"} <= written
    assert {key for key in written if f"`{key}`" not in page} == set()


def test_training_lowers_the_loss(make_job: MakeJob) -> None:
    job = make_job({"training": {"maxSteps": 30}, "checkpoints": {"everySteps": 0}})
    train(job)
    losses = metrics(job)
    assert losses[30] < 0.6 * losses[1]


# full, lora and qlora are killed for real: test_resume.py
@pytest.mark.parametrize("spec", [PISSA, MIXED], ids=["pissa", "mixed"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make_job: MakeJob, tmp_path: Path, spec: dict[str, Any]
) -> None:
    what = spec | {"training": spec.get("training", {}) | {"maxSteps": 7, "loggingSteps": 2}}
    whole, killed = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    train(whole)
    with pytest.raises(Killed):
        train(killed, DiesAt(6))
    reporter = Reporter([])
    result = train(make_job(what, attempt=2), reporter)
    assert result.resumed_step == 4
    assert reporter.report.resumed_step == 4
    assert metrics(killed) == metrics(whole)
    assert same(weights(killed, "adapter"), weights(whole, "adapter"))


def test_a_run_that_is_told_to_stop_saves_at_the_step_boundary_and_goes_on_later(
    make_job: MakeJob, tmp_path: Path
) -> None:
    spec = {"training": {"maxSteps": 5}, "checkpoints": {"everySteps": 100}}
    whole, stopped = make_job(spec, run_directory=tmp_path / "whole"), make_job(spec)
    train(whole)
    reporter = Reporter([])
    with pytest.raises(InterruptedRunError, match="stopped after step 3"):
        train(stopped, reporter, StopAfter(reporter, 3))
    assert reporter.report.checkpoints is not None
    assert reporter.report.checkpoints.latest is not None
    assert reporter.report.checkpoints.latest.step == 3
    assert train(make_job(spec, attempt=2)).resumed_step == 3
    assert metrics(stopped) == metrics(whole)
    assert same(weights(stopped), weights(whole))


@pytest.mark.parametrize("spec", [FULL, LORA], ids=["full", "lora"])
def test_a_sigterm_in_the_middle_of_an_accumulation_window_is_exact(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any]
) -> None:
    what = spec | {
        "training": {"maxSteps": 4, "microBatchSize": 1, "gradientAccumulationSteps": 4},
        "checkpoints": {"everySteps": 0},
    }
    whole, stopped = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    train(whole)

    step = FineTuneTrainer.training_step
    micro_batches = 0

    def signalled(self: FineTuneTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal micro_batches
        micro_batches += 1
        if micro_batches == 6:  # the second of four, in the second step
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args, **kwargs)

    stop = StopRequest()
    stop.listen()
    with monkeypatch.context() as patch:
        patch.setattr(FineTuneTrainer, "training_step", signalled)
        with pytest.raises(InterruptedRunError, match="stopped after step 2"):
            train(stopped, stop=stop)
    assert train(make_job(what, attempt=2)).resumed_step == 2
    assert metrics(stopped) == metrics(whole)
    kind = "adapter" if spec is LORA else "model"
    assert same(weights(stopped, kind), weights(whole, kind))


def test_a_torn_checkpoint_is_passed_over(make_job: MakeJob) -> None:
    job = make_job()
    train(job)
    newest = Path(job.paths.run_directory) / "checkpoints" / "step-00000004"
    with (newest / "optimizer.pt").open("r+b") as file:
        file.truncate(100)
    assert train(make_job(attempt=2)).resumed_step == 2


def test_data_that_changed_between_two_attempts_makes_the_resume_approximate(
    make_job: MakeJob, tmp_path: Path
) -> None:
    train(make_job())
    longer, reporter = {"training": {"maxSteps": 5}}, Reporter([])
    train(make_job(longer, attempt=2), reporter)
    assert reporter.report.effective["resume"] == "from step 4", "a longer run on the same data is exact"

    with (tmp_path / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"instruction": "add 7 and 8", "output": "15"}) + "\n")
    longest, reporter = {"training": {"maxSteps": 6}}, Reporter([])
    assert train(make_job(longest, attempt=3), reporter).resumed_step == 5
    said = reporter.report.effective["resume"]
    assert said.startswith("approximate: the training data is not what it was at step 5 (20 items, SHA-256 ")
    assert " then; 21 items, " in said

    # what the weights are does not change with an exact resume
    last, reporter = {"training": {"maxSteps": 7}, "output": {"modelCard": True}}, Reporter([])
    result = train(make_job(last, attempt=4), reporter)
    kept = reporter.report.effective["resume"]
    assert kept.startswith(
        "from step 6; approximate before that: the training data is not what it was at ste"
    )
    assert "the run is approximate: the training data is not what it was at step 5" in result.message
    card = (Path(make_job(last).paths.output_directory) / "model" / "README.md").read_text()
    assert kept in card


def test_a_finished_run_only_writes_its_output_again(make_job: MakeJob) -> None:
    job = make_job()
    train(job)
    before = weights(job)
    result = train(make_job(attempt=2))
    assert (result.resumed_step, result.step) == (4, 4)
    assert same(before, weights(job))
    assert list(metrics(job)) == [1, 2, 3, 4]


def test_checkpoints_of_another_run_are_not_resumed_from(make_job: MakeJob) -> None:
    train(make_job())
    changed = {"training": {"learningRate": 1e-3}}
    with pytest.raises(InvalidConfigError, match="another run"):
        train(make_job(changed))
    afresh = make_job(changed | {"checkpoints": {"resume": "never"}})
    assert train(afresh).resumed_step is None
    run_directory = Path(afresh.paths.run_directory)
    assert len([path for path in run_directory.iterdir() if path.name.startswith("checkpoints-before-")]) == 1


def test_evaluation_chooses_the_best_checkpoint(make_job: MakeJob) -> None:
    spec = {
        "training": {"maxSteps": 6, "learningRate": 0.05},
        "dataset": {"evalSplit": 0.2},
        "evaluation": {"everySteps": 2},
        "checkpoints": {"everySteps": 2, "keep": 1},
    }
    job = make_job(spec)
    result = train(job)
    scores = metrics(job, "evalLoss")
    assert list(scores) == [2, 4, 6]
    assert result.checkpoints is not None
    assert result.checkpoints.best is not None
    assert result.checkpoints.best.step == min(scores, key=lambda step: scores[step])
    assert float(result.metrics["evalLoss"]) == pytest.approx(scores[6], rel=1e-4)


@pytest.mark.parametrize(("spec", "kind", "rate"), [(FULL, "model", 0.3), (LORA, "adapter", 1.0)])
def test_a_run_that_no_longer_improves_stops_early_and_leaves_its_best_state(
    make_job: MakeJob, spec: dict[str, Any], kind: str, rate: float
) -> None:
    early = spec | {
        # a rate at which the loss soon rises again
        "training": {
            "maxSteps": 40,
            "learningRate": rate,
            "schedule": {"type": "constant"},
            "earlyStopping": {"patience": 2},
        },
        "dataset": {"evalSplit": 0.2},
        "evaluation": {"everySteps": 2},
        "checkpoints": {"everySteps": 0, "keep": 1},
        "output": {"checkpoint": "best", "modelCard": True},
    }
    job = make_job(early)
    result = train(job)
    scores = metrics(job, "evalLoss")
    best = min(scores, key=lambda step: scores[step])
    assert result.step == max(scores) == best + 4 < 40
    assert "stopped early" in result.message
    assert result.checkpoints is not None
    assert result.checkpoints.best is not None
    assert result.checkpoints.best.step == best
    checkpoint = Path(job.paths.run_directory) / "checkpoints" / f"step-{best:08d}"
    output = Path(job.paths.output_directory) / kind
    assert json.loads((output / "manifest.json").read_text())["step"] == best
    told = f"{best}, those of the best checkpoint (loss {scores[best]:.6g}), of {result.step} in the run"
    assert f"| optimizer steps | {told} |" in (output / "README.md").read_text()
    assert result.message.endswith(f"the {kind} of step {best}, the best, was loaded and run once")
    name = "adapter_model" if kind == "adapter" else "model"
    assert same(weights(job, kind), load_file(checkpoint / f"{name}.safetensors"))

    again = train(make_job(early, attempt=2))
    assert (again.resumed_step, again.step) == (result.step, result.step)


def test_a_checkpoint_has_no_metric_of_another_step(make_job: MakeJob) -> None:
    job = make_job(
        {
            "training": {"maxSteps": 5},
            "dataset": {"evalSplit": 0.2},
            "evaluation": {"everySteps": 2, "atEnd": False},
            "checkpoints": {"everySteps": 3},
        }
    )
    result = train(job)
    assert list(metrics(job, "evalLoss")) == [2, 4]
    assert result.checkpoints is not None
    assert result.checkpoints.latest is not None
    assert result.checkpoints.latest.step == 5
    assert result.checkpoints.best is None


def test_the_evaluation_loss_is_the_mean_over_tokens_whatever_the_batch(
    make_job: MakeJob, tmp_path: Path
) -> None:
    found = []
    for size in (1, 3):
        spec = {"dataset": {"evalSplit": 0.4}, "evaluation": {"microBatchSize": size}}
        job = make_job(spec, run_directory=tmp_path / str(size))
        train(job)
        found.append(metrics(job, "evalLoss")[4])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_model_from_scratch_is_made_with_its_tokenizer(make_job: MakeJob) -> None:
    config = {"hiddenSize": 32, "layers": 1, "attentionHeads": 2, "maxPositionEmbeddings": 64}
    job = make_job({"model": {"config": config, "tokenizer": {"train": {"vocabSize": 290}}}})
    result = train(job)
    assert result.output is not None
    assert result.output.kind == "model"
    assert (Path(job.paths.output_directory) / "model" / "tokenizer.json").is_file()


def test_plain_text_is_pretrained_on_every_token(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "text" / name).write_text("def add(a, b):\n    return a + b\n" * 20)
    data = {"format": "text", "train": {"path": f"{tmp_path}/text/*.py"}}
    reporter = Reporter([])
    train(make_job({"dataset": data, "training": {"stage": "pretrain"}}), reporter)
    facts = reporter.report.effective
    sequences, tokens = int(facts["sequences"]), int(facts["tokens"])
    assert int(facts["supervisedTokens"]) == tokens - sequences


def test_a_broken_record_ends_the_run_before_the_model_is_loaded(
    make_job: MakeJob, write_jsonl: Callable[..., Path]
) -> None:
    write_jsonl([{"instruction": "a", "output": "b"}, {"instruction": "a", "output": 7}])
    with pytest.raises(DataError, match=r"train.jsonl, line 2: 'output' must be text, not a number"):
        train(make_job())


def test_a_model_that_is_not_there_is_named(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=str(tmp_path / "gone")):
        train(make_job({"model": {"path": str(tmp_path / "gone")}}))


def test_accelerators_that_are_not_there_are_a_configuration_error(make_job: MakeJob) -> None:
    job = make_job().model_copy(update={"device": "cuda"})
    with pytest.raises(InvalidConfigError, match=r"nvidia.com/gpu .* this node shows 0 CUDA devices"):
        train(job)


def test_an_output_that_computes_something_else_is_no_success(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.output import export

    load = export.load_output

    def tampered(*args: Any, **kwargs: Any) -> Any:
        model = load(*args, **kwargs)
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(2)
        return model

    monkeypatch.setattr(export, "load_output", tampered)
    job = make_job()
    with pytest.raises(OutputInvalidError, match="computes something else than the trained model"):
        train(job)
    assert not (Path(job.paths.output_directory) / "model").exists()


def test_run_turns_the_end_into_an_exit_status_and_a_termination_message(
    make_job: MakeJob, tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    message = tmp_path / "termination-message"
    assert rank.run(make_job()) == ExitCode.SUCCEEDED
    result = TrainingResult.from_termination_message(message.read_text())
    assert result is not None
    assert result.outcome == "succeeded"

    write_jsonl([{"instruction": "no answer"}])
    assert rank.run(make_job()) == ExitCode.DATA_ERROR
    result = TrainingResult.from_termination_message(message.read_text())
    assert result is not None
    assert (result.reason, result.exit_code) == (Reason.DATA_ERROR, 11)
    assert "train.jsonl, line 1" in result.message


def test_what_the_validator_refuses_never_starts(make_job: MakeJob) -> None:
    job = make_job()
    training = job.spec.training.model_copy(update={"engine": "llamafactory"})
    refused = job.model_copy(update={"spec": job.spec.model_copy(update={"training": training})})
    with pytest.raises(InvalidConfigError, match=r"training\.engine"):
        train(refused)
