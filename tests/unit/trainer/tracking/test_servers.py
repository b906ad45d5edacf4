"""Trackers against their real servers, and what the servers have read back. A second attempt continues the
run."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.tracking.base import Ending
from tracker_servers import mlflow_server, phoenix_server, trackio_server
from trackers import RUN_ID, deliver, tracked, trackio_rows

pytestmark = pytest.mark.slow

ROWS = {1: {"loss": 3.0}, 2: {"loss": 2.0, "evalLoss": 2.5}}
MORE = {2: {"loss": 2.0}, 3: {"loss": 1.5}}
INTERRUPTED = Ending(outcome="interrupted", message="told to end")


def asked(address: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that a server answers; a POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def test_mlflow(tmp_path: Path) -> None:
    checkpoint = tmp_path / "outbox" / "step-00000002"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    with mlflow_server(tmp_path) as url:
        first = deliver("mlflow", tracked(tmp_path, url=url), ROWS, ending=INTERRUPTED, uploads=(checkpoint,))
        second = deliver("mlflow", tracked(tmp_path, url=url, attempt=2, resumed_step=1), MORE)
        assert [tally.error for tally in (first, second)] == ["", ""]

        api = f"{url}/api/2.0/mlflow"
        experiment = asked(f"{api}/experiments/get-by-name?experiment_name=numbers")["experiment"]
        found = asked(f"{api}/runs/search", {"experiment_ids": [experiment["experiment_id"]]})
        [run] = found["runs"]
        assert (run["info"]["run_name"], run["info"]["status"]) == ("dates", "FINISHED")
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        assert tags["finetune.run"] == RUN_ID
        assert {"key": "method.type", "value": "lora"} in run["data"]["params"]
        run_id = run["info"]["run_id"]
        history = asked(f"{api}/metrics/get-history?run_id={run_id}&metric_key=loss")["metrics"]
        assert {(metric["step"], metric["value"]) for metric in history} == {(1, 3.0), (2, 2.0), (3, 1.5)}
        files = asked(f"{api}/artifacts/list?run_id={run_id}&path=checkpoints/step-00000002")["files"]
        assert [(file["path"].split("/")[-1], file["file_size"]) for file in files] == [
            ("model.safetensors", 7)
        ]


def test_phoenix(tmp_path: Path) -> None:
    with phoenix_server(tmp_path) as url:
        first = deliver("phoenix", tracked(tmp_path, url=url), ROWS, ending=INTERRUPTED)
        second = deliver("phoenix", tracked(tmp_path, url=url, attempt=2, resumed_step=1), MORE)
        assert [tally.error for tally in (first, second)] == ["", ""]

        [dataset] = asked(f"{url}/v1/datasets")["data"]
        assert dataset["name"] == "numbers"
        [experiment] = asked(f"{url}/v1/datasets/{dataset['id']}/experiments")["data"]
        assert experiment["metadata"]["run"] == RUN_ID
        assert experiment["metadata"]["method.type"] == "lora"
        [run] = asked(f"{url}/v1/experiments/{experiment['id']}/json")
        assert run["output"]["outcome"] == "succeeded"
        assert [row["step"] for row in run["output"]["rows"]] == [2, 3]
        assert [(each["name"], each["score"]) for each in run["annotations"]] == [("loss", 1.5)]


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_WRITE_TOKEN", "token-of-trackio")
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    with trackio_server(there, "token-of-trackio") as url:
        first = deliver("trackio", tracked(here, url=url), ROWS, ending=INTERRUPTED)
        second = deliver("trackio", tracked(here, url=url, attempt=2, resumed_step=1), MORE)
        assert [tally.error for tally in (first, second)] == ["", ""]
    assert trackio_rows(there / "numbers.db") == [*ROWS.items(), *MORE.items()]
