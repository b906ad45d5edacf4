"""The commit of a data set on the hub."""

import pytest
from huggingface_hub import DatasetInfo, HfApi

from finetune_api.dataset import DataSource
from finetune_trainer.data.commits import at_commit

HUB = DataSource.from_json_object({"hub": {"id": "me/sums", "revision": "v2", "split": "test"}})


def test_a_branch_or_tag_becomes_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_self: HfApi, repo_id: str, *, revision: str, timeout: float) -> DatasetInfo:
        assert timeout > 0
        return DatasetInfo(id=repo_id, sha=f"commit of {revision}")

    monkeypatch.setattr(HfApi, "dataset_info", told)
    hub = at_commit(HUB).hub
    assert hub is not None
    assert (hub.id, hub.revision, hub.split) == ("me/sums", "commit of v2", "test")


def test_a_hub_that_does_not_say_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ConnectionError("offline")

    monkeypatch.setattr(HfApi, "dataset_info", fail)
    assert at_commit(HUB) == HUB
    file = DataSource(path="/data/train.jsonl")
    assert at_commit(file) == file
