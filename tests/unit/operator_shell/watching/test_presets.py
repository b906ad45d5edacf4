"""Which values a job gets: those its first attempt began with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_api import FineTuneJobStatus, InvalidJobError, ResolvedJob, parse_job
from finetune_api.hardware import NodeAccelerators
from finetune_operator.cluster import FINETUNE_JOBS, FINETUNE_PRESETS, JOBS
from finetune_operator.errors import NotFoundError
from finetune_operator.hardware import Hardware
from finetune_operator.health import WatchMonitor
from finetune_operator.keys import JobKey
from finetune_operator.rendering import render_attempt
from finetune_operator.watching.presets import PresetLostError, Presets
from finetune_operator.watching.queue import Backoff, KeyedQueue
from finetune_operator.watching.reports import ReportStore
from finetune_operator.watching.state import State
from operator_scenes import CONFIG

KEY = JobKey("team", "tune")
Manifest = dict[str, Any]


class Store:
    """An API server that holds ConfigMaps, and counts how often it is asked for one."""

    def __init__(self) -> None:
        self.config_maps: dict[str, Manifest] = {}
        self.asked = 0

    async def get(self, _resource: object, _namespace: str, name: str) -> Manifest:
        self.asked += 1
        if name not in self.config_maps:
            raise NotFoundError(f"GET {name}: 404")
        return self.config_maps[name]


class Rig:
    """Presets, as a stored preset and a stored job see them."""

    def __init__(self) -> None:
        queue: KeyedQueue[JobKey] = KeyedQueue(Backoff(1, 1))
        self.state = State(queue, ReportStore(0, lambda: 0.0, lambda: None), WatchMonitor(lambda: 0.0))
        self.store = Store()
        self.version = 0
        self.restart()

    def restart(self) -> None:
        self.presets = Presets(self.store, self.state)  # type: ignore[arg-type]

    def preset(self, **values: Any) -> None:
        self.version += 1
        metadata = {"name": "ours", "namespace": "team", "uid": "p", "resourceVersion": str(self.version)}
        header = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTunePreset", "metadata": metadata}
        self.state.tell(FINETUNE_PRESETS, "MODIFIED", {**header, "spec": {"title": "Ours", "values": values}})

    async def epochs(self, status: FineTuneJobStatus | None = None, uid: str = "3f0c") -> float:
        """The epochs that the job gets now; its attempt is made if it has not begun."""
        before = status or FineTuneJobStatus()
        manifest, preset = await self.presets.applied(KEY, job(uid), before)
        parsed = parse_job(manifest)
        for made in render_attempt(parsed, (before.attempt or 0) + 1, CONFIG, preset):
            if made["kind"] == "ConfigMap":
                self.store.config_maps.setdefault(made["metadata"]["name"], made)
        self.given = preset
        return parsed.spec.training.epochs

    def made(self) -> None:
        """The Job of the first attempt is there."""
        metadata = {
            "name": "tune-1",
            "namespace": "team",
            "uid": "job-1",
            "resourceVersion": "5",
            "labels": {"finetune.dev/job": "tune", "finetune.dev/attempt": "1"},
            "ownerReferences": [{"uid": "3f0c", "controller": True}],
        }
        self.state.tell(JOBS, "ADDED", {"metadata": metadata})

    def started(self) -> FineTuneJobStatus:
        return FineTuneJobStatus(attempt=1, preset=self.given.status if self.given else None)


def job(uid: str = "3f0c") -> Manifest:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tune", "namespace": "team", "uid": uid, "resourceVersion": "1"},
        "spec": {
            "preset": "ours",
            "model": {"path": "/models/base"},
            "dataset": {"train": {"path": "/data/train.jsonl"}},
        },
    }


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.preset(training={"epochs": 5})
    return rig


async def test_before_the_start_the_preset_counts_as_it_is_now(rig: Rig) -> None:
    assert (
        parse_job((await rig.presets.applied(KEY, job(), FineTuneJobStatus()))[0]).spec.training.epochs == 5
    )
    rig.preset(training={"epochs": 6})
    assert await rig.epochs() == 6


async def test_a_changed_preset_does_not_change_a_job_that_has_started(rig: Rig) -> None:
    assert await rig.epochs() == 5
    rig.preset(training={"epochs": 6})
    assert await rig.epochs(rig.started()) == 5


async def test_nor_after_a_restart_of_the_operator(rig: Rig) -> None:
    assert await rig.epochs() == 5
    rig.preset(training={"epochs": 6})
    rig.restart()
    assert await rig.epochs(rig.started()) == 5


async def test_nor_where_an_attempt_was_made_and_nobody_had_time_to_say_so(rig: Rig) -> None:
    assert await rig.epochs() == 5
    rig.made()
    rig.preset(training={"epochs": 6})
    rig.restart()
    assert await rig.epochs(FineTuneJobStatus()) == 5


async def test_nor_where_an_attempt_was_announced_and_nobody_had_time_to_make_it(rig: Rig) -> None:
    assert await rig.epochs() == 5
    announced = rig.started().model_copy(update={"attempt": 2})
    rig.preset(training={"epochs": 6})
    rig.restart()
    assert await rig.epochs(announced) == 5


async def test_the_api_server_is_asked_once_for_what_never_changes(rig: Rig) -> None:
    await rig.epochs()
    for _ in range(3):
        await rig.epochs(rig.started())
    assert rig.store.asked == 1


async def test_what_was_left_of_an_attempt_that_got_no_job_does_not_count(rig: Rig) -> None:
    assert await rig.epochs() == 5
    rig.preset(training={"epochs": 6})
    assert await rig.epochs() == 6


async def test_the_record_of_an_earlier_job_of_that_name_is_not_ours(rig: Rig) -> None:
    assert await rig.epochs() == 5
    rig.preset(training={"epochs": 6})
    assert await rig.epochs(uid="another") == 6


async def test_without_a_record_the_same_values_serve(rig: Rig) -> None:
    await rig.epochs()
    rig.store.config_maps.clear()
    rig.preset(training={"epochs": 5})
    rig.restart()
    assert await rig.epochs(rig.started()) == 5


async def test_without_a_record_other_values_stop_the_job_and_say_what_to_do(rig: Rig) -> None:
    await rig.epochs()
    rig.store.config_maps.clear()
    rig.preset(training={"epochs": 6})
    rig.restart()
    with pytest.raises(PresetLostError, match=r"ours has changed.*create a new job"):
        await rig.epochs(rig.started())


async def test_nor_does_a_started_job_go_on_without_its_preset(rig: Rig) -> None:
    await rig.epochs()
    started = rig.started()
    rig.store.config_maps.clear()
    [entry] = list(rig.state.presets)
    rig.state.presets.remove(entry.value)
    rig.restart()
    with pytest.raises(PresetLostError, match="or is gone"):
        await rig.epochs(started)


async def test_a_job_without_a_preset_asks_nobody(rig: Rig) -> None:
    plain = job()
    del plain["spec"]["preset"]
    assert await rig.presets.applied(KEY, plain, FineTuneJobStatus()) == (plain, None)
    assert rig.store.asked == 0


async def test_a_preset_of_another_namespace_is_none(rig: Rig) -> None:
    foreign = job()
    foreign["metadata"]["namespace"] = "others"
    with pytest.raises(InvalidJobError, match="neither built in nor"):
        await rig.presets.applied(JobKey("others", "tune"), foreign, FineTuneJobStatus())


async def test_news_of_a_preset_lets_the_jobs_that_name_it_be_looked_at(rig: Rig) -> None:
    other = job()
    other["metadata"] = {**other["metadata"], "name": "other"}
    other["spec"] = {**other["spec"], "preset": "chat"}
    for manifest in (job(), other):
        rig.state.tell(FINETUNE_JOBS, "ADDED", manifest)
        rig.state.queue.done(await rig.state.queue.get())
    assert len(rig.state.queue) == 0
    rig.preset(training={"epochs": 7})
    assert await rig.state.queue.get() == KEY
    assert len(rig.state.queue) == 0


async def test_managed_fields_are_kept_only_where_a_preset_needs_them(rig: Rig) -> None:
    named, plain = job(), job()
    named["metadata"] = {**named["metadata"], "managedFields": []}
    plain["metadata"] = {**plain["metadata"], "name": "plain", "managedFields": []}
    plain["spec"] = {key: value for key, value in plain["spec"].items() if key != "preset"}
    for manifest in (named, plain):
        rig.state.tell(FINETUNE_JOBS, "ADDED", manifest)
    kept = {entry.name: "managedFields" in entry.value["metadata"] for entry in rig.state.finetune_jobs}
    assert kept == {"tune": True, "plain": False}


async def test_what_auto_became_stays_whatever_devices_are_there_later(rig: Rig) -> None:
    spec = {
        "model": {"id": "meta-llama/Llama-3.1-8B"},
        "quantization": {"type": "auto"},
        "training": {"microBatchSize": "auto"},
        "distributed": {"zeroStage": "auto"},
        "dataset": {"train": {"path": "/data/train.jsonl"}},
        "resources": {"accelerators": {"perNode": 1}},
    }
    stored = job() | {"spec": spec}

    async def base(status: FineTuneJobStatus, product: str) -> str:
        """How the base is stored in the next attempt, where nodes have that device."""
        manifest, preset = await rig.presets.applied(KEY, stored, status)
        node = NodeAccelerators("a", "nvidia.com/gpu", 1, product, None, {})
        config = replace(CONFIG, hardware=Hardware(nodes=(node,)))
        objects = render_attempt(parse_job(manifest), (status.attempt or 0) + 1, config, preset)
        record = next(made for made in objects if made["kind"] == "ConfigMap")
        rig.store.config_maps.setdefault(record["metadata"]["name"], record)
        return ResolvedJob.model_validate_json(record["data"]["job.json"]).spec.quantization.type

    assert await base(FineTuneJobStatus(), "NVIDIA-A100-SXM4-80GB") == "none"
    assert await base(FineTuneJobStatus(), "Tesla-T4") == "nf4"
    rig.restart()
    assert await base(FineTuneJobStatus(attempt=1), "Tesla-T4") == "none"
