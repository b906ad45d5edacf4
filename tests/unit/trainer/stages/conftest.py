"""Jobs of every stage: a tiny model, and records made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from stage_runs import PAIRS, MakeJob


@pytest.fixture
def stage_job(make_job: MakeJob, write_jsonl: Callable[..., Path]) -> MakeJob:
    """A job of a stage on records of its own: `stage_job("dpo", spec)`."""

    def make(
        stage: str,
        spec: dict[str, Any] | None = None,
        *,
        format_: str = "preference",
        records: list[dict[str, Any]] = PAIRS,
        **kwargs: Any,
    ) -> ResolvedJob:
        path = write_jsonl(records, f"{stage}.jsonl")
        spec = dict(spec or {})
        training = {"stage": stage, "learningRate": 1e-2} | spec.pop("training", {})
        data = {"format": format_, "train": {"path": str(path)}} | spec.pop("dataset", {})
        return make_job(spec | {"training": training, "dataset": data}, **kwargs)

    return make
