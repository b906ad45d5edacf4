"""`model.trustRemoteCode`: a model that comes with its own code learns what transformers' own class would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from one_rank import train
from own_code import with_own_code
from stage_runs import curve

MakeJob = Callable[..., ResolvedJob]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("rest", ["**kwargs", "cache_position=None"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_with_its_own_code_learns_evaluates_and_is_written_as_any_other(
    make_job: MakeJob,
    tiny_model: Path,
    tmp_path: Path,
    write_jsonl: Callable[..., Path],
    method: str,
    rest: str,
) -> None:
    # answers of 1 to 18 digits: a mean of micro-batches' means would differ
    write_jsonl([{"instruction": f"say {n}", "output": "7" * n} for n in range(1, 19)])

    def run(name: str, model: dict[str, Any], micro_batch: int) -> tuple[dict[int, float], dict[int, float]]:
        spec = {
            "model": model,
            "method": {"type": method, "lora": {"dropout": 0.0}},
            "training": {"microBatchSize": micro_batch, "gradientAccumulationSteps": 4 // micro_batch},
            "dataset": {"evalSplit": 0.2},
            "evaluation": {"everySteps": 2, "metrics": ["tokenAccuracy"]},
            "output": {"mergeAdapter": method == "lora"},
        }
        job = make_job(spec, run_directory=tmp_path / f"{name}-{micro_batch}")
        assert train(job).outcome == "succeeded"
        return curve(job), curve(job, "evalLoss")

    untied = with_own_code(tiny_model, tmp_path / "own", rest=rest)
    own = {"path": str(untied), "trustRemoteCode": True}
    losses, scores = run("own", own, 1)
    assert run("own", own, 4) == (pytest.approx(losses, rel=1e-5), pytest.approx(scores, rel=1e-5))
    if method == "lora":  # the tied head of the other would learn twice
        expected = run("plain", {"path": str(tiny_model)}, 1)
        assert (losses, scores) == (
            pytest.approx(expected[0], rel=1e-4),
            pytest.approx(expected[1], rel=1e-4),
        )
