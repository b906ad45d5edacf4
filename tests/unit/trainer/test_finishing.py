"""What a whole run leaves beside its adapter or model: merged weights, answers, scores."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from fake_hub import FakeHub
from finetune_api import ResolvedJob
from finetune_trainer.errors import OutputInvalidError
from finetune_trainer.output import merge
from one_rank import train
from runs import run as run_launched

MakeJob = Callable[..., ResolvedJob]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # huggingface_hub 2.4 sends files in a way that its HTTP client no longer likes
        "ignore:Use 'content=:DeprecationWarning"
    ),
]

LORA: dict[str, Any] = {"method": {"type": "lora", "lora": {"rank": 4, "alpha": 8}}}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def stored_types(directory: Path) -> set[str]:
    found = set()
    for file in directory.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return found


def test_an_adapter_is_merged_beside_itself_in_small_16_bit_files(make_job: MakeJob) -> None:
    job = make_job(LORA | {"output": {"mergeAdapter": True, "maxShardSizeGB": 5e-5}})
    result = train(job)
    output = Path(job.paths.output_directory)
    assert result.output is not None
    assert (result.output.kind, result.output.merged_path) == ("adapter", str(output / "merged"))
    assert stored_types(output / "merged") == {"BF16"}
    assert len(list((output / "merged").glob("*.safetensors"))) > 1
    manifest = json.loads((output / "merged" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["step"]) == ("merged", 4)
    assert sum(entry["bytes"] for entry in manifest["files"]) == result.output.merged_bytes
    AutoModelForCausalLM.from_pretrained(output / "merged")


def test_a_merge_that_fails_leaves_adapter_and_checkpoint_and_is_done_by_the_next_attempt(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = LORA | {"output": {"mergeAdapter": True, "modelCard": True}, "dataset": {"evalSplit": 0.2}}
    job = make_job(spec)
    with monkeypatch.context() as patch:
        patch.setattr(merge, "merged_model", lambda model, _dtype: model.unload())
        with pytest.raises(OutputInvalidError, match="something else than base and adapter"):
            train(job)
    output = Path(job.paths.output_directory)
    assert (output / "adapter" / "manifest.json").is_file()
    assert not (output / "merged").exists()
    result = train(make_job(spec, attempt=2))
    assert (result.resumed_step, result.step) == (4, 4)
    assert (output / "merged" / "manifest.json").is_file()

    *_, trained, evaluated = lines(Path(job.paths.run_directory) / "metrics.jsonl")
    assert float(result.metrics["loss"]) == pytest.approx(trained["loss"], rel=1e-5), "of the attempt before"
    assert float(result.metrics["evalLoss"]) == pytest.approx(evaluated["evalLoss"], rel=1e-5)
    assert f"| evalLoss | {result.metrics['evalLoss']} |" in (output / "adapter" / "README.md").read_text()


def test_a_whole_model_is_written_in_the_asked_type_and_file_size(make_job: MakeJob) -> None:
    job = make_job({"output": {"precision": "fp16", "maxShardSizeGB": 5e-5}})
    train(job)
    model = Path(job.paths.output_directory) / "model"
    assert stored_types(model) == {"F16"}
    assert len(list(model.glob("*.safetensors"))) > 1
    assert AutoModelForCausalLM.from_pretrained(model, dtype="auto").dtype == torch.float16


def test_two_ranks_under_zero_3_leave_a_merged_model_and_sample_answers(
    make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(
        LORA
        | {
            "distributed": {"processesPerNode": 2, "zeroStage": 3},
            "training": {"maxSteps": 2, "gradientAccumulationSteps": 1},
            "output": {"mergeAdapter": True},
            "evaluation": {"generations": {"prompts": ["add 1 and 1"], "sampling": {"maxNewTokens": 4}}},
        }
    )
    result = run_launched(job, tmp_path / "a")
    assert result.output is not None
    assert result.output.merged_path is not None
    assert stored_types(Path(result.output.merged_path)) == {"BF16"}
    answers = lines(Path(job.paths.run_directory) / "generations.jsonl")
    assert [line["step"] for line in answers] == [0, 2]


def test_sample_answers_are_drawn_before_between_and_after_and_change_nothing(
    make_job: MakeJob, tmp_path: Path
) -> None:
    prompts = ["add 1 and 1", "add 2 and 2"]
    asked = {
        "generations": {
            "prompts": prompts,
            "everySteps": 2,
            "sampling": {"maxNewTokens": 5, "temperature": 0.8, "topP": 0.9},
        }
    }
    dropout = {"method": {"type": "lora", "lora": {"rank": 4, "alpha": 8, "dropout": 0.3}}}
    plain = make_job(dropout, run_directory=tmp_path / "plain")
    train(plain)
    job = make_job(dropout | {"evaluation": asked}, run_directory=tmp_path / "asked")
    result = train(job)
    found = lines(Path(job.paths.run_directory) / "generations.jsonl")
    assert [(line["step"], line["prompt"]) for line in found] == [
        (step, prompt) for step in (0, 2, 4) for prompt in prompts
    ]
    assert result.evaluation is not None
    shown = result.evaluation.generations
    assert [each.prompt for each in shown] == prompts
    assert [each.before for each in shown] == [line["answer"] for line in found[:2]]
    assert [each.after for each in shown] == [line["answer"] for line in found[-2:]]

    def curve(which: ResolvedJob) -> list[float]:
        return [line["loss"] for line in lines(Path(which.paths.run_directory) / "metrics.jsonl")]

    assert curve(job) == curve(plain), "drawing answers must not touch the random numbers of training"

    again = train(make_job(dropout | {"evaluation": asked}, run_directory=tmp_path / "asked", attempt=2))
    assert again.resumed_step == 4
    steps = [line["step"] for line in lines(Path(job.paths.run_directory) / "generations.jsonl")]
    assert steps == [0, 0, 2, 2, 4, 4]


def test_perplexity_and_token_accuracy_are_measured_and_can_choose_the_best_checkpoint(
    make_job: MakeJob,
) -> None:
    job = make_job(
        {
            "dataset": {"evalSplit": 0.2},
            "evaluation": {
                "everySteps": 2,
                "metrics": ["perplexity", "tokenAccuracy"],
                "accumulationSteps": 1,
            },
            "checkpoints": {"metric": "tokenAccuracy", "greaterIsBetter": True},
        }
    )
    result = train(job)
    scored = [line for line in lines(Path(job.paths.run_directory) / "metrics.jsonl") if "evalLoss" in line]
    accuracy = {line["step"]: line["evalTokenAccuracy"] for line in scored}
    assert list(accuracy) == [2, 4]
    assert float(result.metrics["evalTokenAccuracy"]) == pytest.approx(accuracy[4], rel=1e-4)
    assert float(result.metrics["evalPerplexity"]) == pytest.approx(scored[-1]["evalPerplexity"], rel=1e-4)
    assert result.checkpoints is not None
    assert result.checkpoints.best is not None
    assert result.checkpoints.best.step == max(accuracy, key=lambda step: accuracy[step])


def test_benchmarks_score_result_and_base_and_a_failed_one_loses_nothing(
    make_job: MakeJob, write_jsonl: Callable[..., Path], tmp_path: Path
) -> None:
    questions = write_jsonl(
        [{"instruction": f"add {n} and 1", "output": str(n + 1)} for n in range(3)], "questions.jsonl"
    )
    broken = write_jsonl([{"prompt": "no answer is expected"}], "broken.jsonl")
    job = make_job(
        LORA
        | {
            "evaluation": {
                "benchmarks": [
                    {
                        "name": "sums",
                        "type": "prompts",
                        "match": "numeric",
                        "maxNewTokens": 4,
                        "prompts": {"path": str(questions)},
                    },
                    {"name": "broken", "type": "prompts", "prompts": {"path": str(broken)}},
                ]
            }
        }
    )
    result = train(job)
    assert result.evaluation is not None
    sums, other = result.evaluation.benchmarks
    assert (sums.name, sums.samples, set(sums.scores), set(sums.base)) == (
        "sums",
        3,
        {"numericMatch"},
        {"numericMatch"},
    )
    assert other.scores == {}
    assert other.message is not None
    assert "broken.jsonl, line 1" in other.message
    directory = Path(job.paths.output_directory) / "benchmarks"
    assert {path.name for path in directory.iterdir()} == {
        "sums.json",
        "sums.base.jsonl",
        "sums.result.jsonl",
        "broken.json",
    }
    assert [line["expected"] for line in lines(directory / "sums.result.jsonl")] == [["1"], ["2"], ["3"]]


def test_the_card_tells_what_the_run_was(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(LORA | {"output": {"modelCard": True, "mergeAdapter": True}})
    result = train(job)
    output = Path(job.paths.output_directory)
    digest = sha256((tmp_path / "train.jsonl").read_bytes()).hexdigest()
    for kind in ("adapter", "merged"):
        text = (output / kind / "README.md").read_text()
        assert digest in text
        assert f"| loss | {result.metrics['loss']} |" in text
        # written after the manifest, which does not speak of it
        manifest = json.loads((output / kind / "manifest.json").read_text())
        assert "README.md" not in {entry["path"] for entry in manifest["files"]}
    assert result.output is not None
    assert result.output.verified


HUB = {"id": "me/sums", "tokenSecret": {"name": "hub", "key": "token"}}


def test_adapter_merged_model_and_card_go_to_the_hub(make_job: MakeJob, hub: FakeHub) -> None:
    output = {"mergeAdapter": True, "modelCard": True, "hub": HUB | {"strategy": "everySave"}}
    job = make_job(LORA | {"output": output})
    result = train(job)
    assert result.hub is not None
    assert (result.hub.repository, result.hub.complete, result.hub.step) == ("me/sums", True, 4)
    files = hub.branches["me/sums", "main"]
    directory = Path(job.paths.output_directory)
    for name, place in (("adapter_model", ""), ("model", "merged/")):
        written = directory / (place or "adapter") / f"{name}.safetensors"
        assert files[f"{place}{name}.safetensors"] == written.read_bytes()
    assert b"How to train it again" in files["README.md"]


def test_a_hub_that_is_down_after_training_does_not_lose_the_result(make_job: MakeJob, hub: FakeHub) -> None:
    hub.fail = lambda _method, _path: 503
    job = make_job(LORA | {"output": {"hub": HUB}})
    result = train(job)
    assert result.outcome == "succeeded"
    assert result.hub is not None
    assert not result.hub.complete
    assert result.hub.message is not None
    assert str(Path(job.paths.output_directory) / "adapter") in result.hub.message
    assert (Path(job.paths.output_directory) / "adapter" / "adapter_model.safetensors").is_file()
    hub.fail = lambda _method, _path: None
    again = train(make_job(LORA | {"output": {"hub": HUB}}, attempt=2))
    assert again.hub is not None
    assert again.hub.complete
