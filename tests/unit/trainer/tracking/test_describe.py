"""What trackers are told of a job."""

from collections.abc import Callable
from pathlib import Path

from finetune_api import ResolvedJob
from finetune_api.tracking import TrackerSpec
from finetune_trainer.tracking.describe import parameters, run_id, tracked_run

MakeJob = Callable[..., ResolvedJob]
UID = "01234567-89ab-cdef-0123-456789abcdef"


def in_a_cluster(job: ResolvedJob, attempt: int = 1) -> ResolvedJob:
    return job.model_copy(update={"attempt": attempt, "job": job.job.model_copy(update={"uid": UID})})


def test_attempts_of_a_job_are_one_run(make_job: MakeJob) -> None:
    ids = {run_id(in_a_cluster(make_job(), attempt)) for attempt in (1, 2, 3)}
    assert ids == {"0123456789abcdef0123456789abcdef"}


def test_without_a_cluster_name_and_directory_tell_runs_apart(make_job: MakeJob, tmp_path: Path) -> None:
    here, there = make_job(), make_job(run_directory=tmp_path / "other")
    assert run_id(here) == run_id(make_job(attempt=2)) != run_id(there)
    assert len(run_id(here)) == 32


def test_settings_are_told_by_field_path(make_job: MakeJob) -> None:
    told = parameters(make_job({"training": {"learningRate": 0.5}}))
    assert told["training.learningRate"] == 0.5
    assert told["method.type"] == "full"
    assert told["effectiveBatchSize"] == 4


def test_no_secret_is_told(make_job: MakeJob) -> None:
    job = make_job(
        {
            "model": {"id": "a/b", "tokenSecret": {"name": "hub", "key": "token"}},
            "dataset": {"train": {"path": None, "http": {"url": "https://me:pw@x.org/d.jsonl?sig=s3cret"}}},
            "resources": {"env": [{"name": "KEY", "value": "s3cret"}]},
        }
    )
    told = parameters(job)
    assert told["dataset.train.http.url"] == "https://x.org/d.jsonl"
    shown = f"{told}"
    assert "s3cret" not in shown
    assert "pw" not in shown
    assert "tokenSecret" not in shown


def test_a_tracker_is_told_where_to_keep_files_and_what_was_decided(make_job: MakeJob) -> None:
    job = make_job({"tracking": {"project": "p", "runName": "r", "tags": ["a"]}})
    run = tracked_run(
        job, TrackerSpec(type="wandb", offline=True), resumed_step=2, effective={"precision": "fp32"}
    )
    assert (run.project, run.name, run.tags, run.resumed_step) == ("p", "r", ["a"], 2)
    assert run.directory == Path(job.paths.run_directory) / "tracking" / "wandb"
    assert run.parameters["effective.precision"] == "fp32"
    assert run.offline
