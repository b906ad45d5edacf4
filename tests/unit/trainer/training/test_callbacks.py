"""What a run takes up from the checkpoint that it goes on from."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.training.callbacks import RunCallback
from finetune_trainer.training.saves import WINDOW_FILE
from finetune_trainer.training.watch import Watch

MakeJob = Callable[..., ResolvedJob]


def follower(job: ResolvedJob) -> RunCallback:
    """One that only has to give and take what a checkpoint keeps."""
    unused: Any = None
    progress = SimpleNamespace(state=dict, restore=lambda _kept: None)
    return RunCallback(
        job=job,
        order=unused,
        progress=cast(Any, progress),
        guard=cast(Any, SimpleNamespace(trend=None, skipped=0)),
        watch=Watch(20),
        saves=unused,
        reporter=unused,
        tracking=unused,
        stop=unused,
        evaluates=True,
    )


@pytest.mark.parametrize(("metric", "waited"), [("loss", 1), ("perplexity", 0)])
def test_patience_goes_on_with_the_metric_that_it_was_spent_on(
    make_job: MakeJob, tmp_path: Path, metric: str, waited: int
) -> None:
    before = follower(make_job())
    before.improvement.add(1.0)
    before.improvement.add(2.0)
    (tmp_path / WINDOW_FILE).write_text(json.dumps(before._kept()))
    after = follower(make_job({"checkpoints": {"metric": metric}}))
    after._take_up(tmp_path)
    assert after.improvement.waited == waited
