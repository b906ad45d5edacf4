"""Each tracker's own library, in its process, and what it has written read back. A second attempt continues
the run."""

import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.tracking.base import Ending
from trackers import RUN_ID, deliver, tracked, trackio_rows

pytestmark = pytest.mark.slow

ROWS = {1: {"loss": 3.0}, 2: {"loss": 2.0, "evalLoss": 2.5}}
MORE = {2: {"loss": 2.0}, 3: {"loss": 1.5}}
"""What an attempt writes that goes on from step 1."""


SETTINGS = {"method.type": "lora", "dataset.preprocessing.systemPrompt": "Add.\nTwice.", "nodes": 1}


def settings(resume: str, **changes: Any) -> dict[str, Any]:
    return SETTINGS | {"effective.resume": resume} | changes


def two_attempts(tracker: str, directory: Path, *, uploads: tuple[Path, ...] = (), **changes: Any) -> None:
    """The second has other settings than the first, which uploads checkpoints."""
    told = tracked(directory, parameters=settings("from the start"), **changes)
    interrupted = Ending(outcome="interrupted", message="told to")
    first = deliver(tracker, told, ROWS, ending=interrupted, uploads=uploads)
    told = tracked(
        directory, attempt=2, resumed_step=1, parameters=settings("from step 1", nodes=2, new=True), **changes
    )
    second = deliver(tracker, told, MORE)
    assert [tally.error for tally in (first, second)] == ["", ""]
    assert (first.kept, second.kept) == (2, 2)
    assert first.uploaded == len(uploads)
    assert first.finished
    assert second.finished


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = tmp_path / "outbox" / "step-00000002"
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(b"weights")
    return directory


def test_tensorboard(tmp_path: Path) -> None:
    two_attempts("tensorboard", tmp_path)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 3.0), (2, 2.0), (3, 1.5)]
    # of the first attempt, after the step that the second one goes on from
    assert events.Scalars("evalLoss") == []


def test_wandb_offline(tmp_path: Path, checkpoint: Path) -> None:
    two_attempts("wandb", tmp_path, uploads=(checkpoint,), offline=True)
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    records = [record for file in files for record in wandb_records(file)]
    runs = [record.run for record in records if record.HasField("run")]
    assert {(run.run_id, run.project, run.display_name) for run in runs} == {(RUN_ID, "numbers", "dates")}
    rows = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 3.0), (2, 2.0), (2, 2.0), (3, 1.5)]

    [artifact] = [record.artifact for record in records if record.HasField("artifact")]
    assert (artifact.type, artifact.name) == ("model", f"checkpoint-{RUN_ID}")
    assert sorted(artifact.aliases) == ["latest", "step-00000002"]
    [file] = artifact.manifest.contents
    assert file.path == "model.safetensors"
    # a copy that is there until `wandb sync`: the outbox is empty
    assert Path(file.local_path).read_bytes() == b"weights"
    assert not checkpoint.exists()


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline file: LevelDB's log format (blocks of 32 KiB; checksum, length, type, data)
    behind seven bytes of W&B's own."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, record = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        whole, last = 1, 4
        if kind in (whole, last):
            yield Record.FromString(record)
            record = b""


def test_comet_offline(tmp_path: Path, checkpoint: Path) -> None:
    two_attempts("comet", tmp_path, uploads=(checkpoint,), offline=True)
    archives = sorted(tmp_path.glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)
    metrics = [
        (message["metric"]["metricName"], message["metric"]["step"], message["metric"]["metricValue"])
        for archive in archives
        for message in comet_messages(archive)
        if "metric" in message
    ]
    losses = [(step, float(value)) for name, step, value in metrics if name == "loss"]
    assert losses == [(1, 3.0), (2, 2.0), (2, 2.0), (3, 1.5)]
    for archive in archives:
        with zipfile.ZipFile(archive) as file:
            facts = json.loads(file.read("experiment.json"))
        assert (facts["offline_id"], facts["project_name"]) == (RUN_ID, "numbers")
    [model] = [message for message in comet_messages(archives[0]) if "upload_type" in message]
    facts = model["additional_params"]
    assert (facts["groupingName"], facts["fileName"]) == (
        "step-00000002",
        "step-00000002/model.safetensors",
    )
    with zipfile.ZipFile(archives[0]) as file:
        assert file.read(model["file_path"]) == b"weights"


def comet_messages(archive: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(archive) as file:
        lines = file.read("messages.json").decode().splitlines()
    return [json.loads(line)["payload"] for line in lines]


TRACKIO_READER = """
import sys, trackio
run = trackio.init(project="numbers", name="reader", embed=False, auto_log_gpu=False, auto_log_cpu=False)
run.use_artifact(sys.argv[1], type="model").download(sys.argv[2])
run.finish()
"""


def test_trackio_local(tmp_path: Path, checkpoint: Path) -> None:
    directory = tmp_path / "trackio"
    two_attempts("trackio", directory, uploads=(checkpoint,))
    assert trackio_rows(directory / "numbers.db") == [*ROWS.items(), *MORE.items()]

    # the library reads its directory from the environment when it is imported
    artifact, place = f"checkpoint-dates-{RUN_ID[:8]}:step-00000002", tmp_path / "downloaded"
    subprocess.run(
        [sys.executable, "-c", TRACKIO_READER, artifact, str(place)],
        env=os.environ | {"TRACKIO_DIR": str(directory)},
        check=True,
    )
    assert (place / "model.safetensors").read_bytes() == b"weights"


def test_mlflow_files(tmp_path: Path, checkpoint: Path) -> None:
    two_attempts("mlflow", tmp_path / "mlflow", offline=True)
    third = tracked(tmp_path / "mlflow", attempt=3, offline=True)
    tally = deliver("mlflow", third, {}, uploads=(checkpoint,))
    assert (tally.error, tally.uploaded) == ("", 1)
    [losses] = (tmp_path / "mlflow").glob("*/*/metrics/loss")
    assert [line.split()[1:] for line in losses.read_text().splitlines()] == [
        ["3.0", "1"],
        ["2.0", "2"],
        ["2.0", "2"],
        ["1.5", "3"],
    ]
    run = losses.parents[1]
    told = {name: (run / "params" / name).read_text() for name in (*SETTINGS, "effective.resume", "new")}
    assert told == {name: str(value) for name, value in settings("from the start", new=True).items()}
    changed = {path.name: path.read_text() for path in (run / "tags").glob("attempt.*")}
    assert changed == {"attempt.2.effective.resume": "from step 1", "attempt.2.nodes": "2"}
    assert (run / "artifacts/checkpoints/step-00000002/model.safetensors").read_bytes() == b"weights"


def test_keys_stay_out_of_files(tmp_path: Path) -> None:
    deliver("wandb", tracked(tmp_path, offline=True), ROWS, environment={"WANDB_API_KEY": "k" * 40})
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"k" * 40 in path.read_bytes()]
    assert os.environ.get("WANDB_API_KEY") is None
