"""Paths of the pod become paths of this machine, mount by mount."""

from pathlib import Path
from typing import Any

import pytest

from finetune_api import FineTuneJob, parse_job, resolve
from finetune_cli.local.volumes import VolumeDirectories, VolumeError, local_mounts


def job(**spec: Any) -> FineTuneJob:
    body: dict[str, Any] = {
        "model": {"path": "/finetune/storage/base/output/model"},
        "dataset": {"format": "alpaca", "train": {"configMap": {"name": "records", "key": "a.jsonl"}}},
        "checkpoints": {"storage": {"claimName": "models"}},
        **spec,
    }
    return parse_job(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "tune"},
            "spec": body,
        }
    )


def test_every_path_of_the_resolved_job_is_local(tmp_path: Path) -> None:
    tune = job()
    directories = VolumeDirectories({}, tmp_path / "volumes")
    mounts = local_mounts(tune, directories, {"records": {"a.jsonl": "{}"}}, tmp_path / "scratch")
    resolved = mounts.localize(resolve(tune, 1))
    storage = tmp_path / "volumes" / "models"
    assert resolved.spec.model.path == str(storage / "base" / "output" / "model")
    assert resolved.paths.run_directory == str(storage / "tune")
    assert resolved.paths.output_directory == str(storage / "tune" / "output")
    assert resolved.paths.train is not None
    assert Path(resolved.paths.train).read_text() == "{}"


def test_a_named_directory_wins_over_the_manifest_and_the_default_parent(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    directories = VolumeDirectories(
        {"records": tmp_path / "mine", "models": tmp_path / "elsewhere"}, tmp_path
    )
    mounts = local_mounts(job(), directories, {"records": {"a.jsonl": "{}"}}, tmp_path / "scratch")
    assert mounts.local_path("/finetune/data/train/a.jsonl") == str(tmp_path / "mine" / "a.jsonl")
    assert mounts.local_path("/finetune/storage/x") == str(tmp_path / "elsewhere" / "x")


def test_the_innermost_mount_counts_and_other_paths_stay(tmp_path: Path) -> None:
    for name in ("records", "outer", "inner"):
        (tmp_path / name / "deep").mkdir(parents=True)
    volumes = [
        {"name": "outer", "claimName": "outer", "mountPath": "/models"},
        {"name": "inner", "claimName": "inner", "mountPath": "/models/cache", "subPath": "deep"},
    ]
    mounts = local_mounts(job(resources={"volumes": volumes}), VolumeDirectories({}, tmp_path), {}, tmp_path)
    assert mounts.local_path("/models/a") == str(tmp_path / "outer" / "a")
    assert mounts.local_path("/models/cache/a") == str(tmp_path / "inner" / "deep" / "a")
    assert mounts.local_path("/modelsx/a") == "/modelsx/a"
    assert mounts.local_word("--model=/models/a") == f"--model={tmp_path / 'outer' / 'a'}"


def test_what_the_job_reads_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="--volume records=DIRECTORY"):
        local_mounts(job(), VolumeDirectories({}, tmp_path), {}, tmp_path)
