"""The data of every stage, from files and from the hub, is tokenised once and then read from the one store,
by the other ranks and by later attempts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import DatasetInfo, HfApi

from finetune_api import ResolvedJob
from finetune_trainer import inputs
from finetune_trainer.data import cache, cache_key, loading, preparation, workers
from finetune_trainer.data.fingerprint import fingerprint
from finetune_trainer.inputs import Inputs, prepare_inputs
from stage_data import ANSWERED, STAGES

MakeJob = Callable[..., ResolvedJob]

COMMIT = "1" * 40


class Counted:
    """Calls of a function, which does what it did before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self.times = 0
        self.plain = getattr(module, name)
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.times += 1
        return self.plain(*arguments, **options)


@pytest.fixture
def job_of(make_job: MakeJob, tmp_path: Path) -> Callable[..., ResolvedJob]:
    def make(stage: str, source: dict[str, Any] | None = None, attempt: int = 1, **data: Any) -> ResolvedJob:
        format_, records, settings = STAGES[stage]
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        data |= {"format": format_, "train": source or {"path": str(path)}}
        return make_job({"training": {"stage": stage, **settings}, "dataset": data}, attempt=attempt)

    return make


def same(one: Inputs, two: Inputs) -> bool:
    """Whether two ranks or attempts learn from the same, record by record."""
    places = [
        [origin for index in range(len(each.data)) for origin in each.data.origins([index])]
        for each in (one, two)
    ]
    return (
        fingerprint(one.data) == fingerprint(two.data)
        and one.data.facts == two.data.facts
        and places[0] == places[1]
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_second_rank_or_attempt_neither_reads_nor_tokenises(
    monkeypatch: pytest.MonkeyPatch, job_of: Callable[..., ResolvedJob], stage: str
) -> None:
    read, tokenised = Counted(monkeypatch, inputs, "load_examples"), Counted(monkeypatch, cache, "_keep")
    first = prepare_inputs(job_of(stage))
    assert (read.times, tokenised.times) == (1, 1)
    for attempt in (1, 2):
        assert same(prepare_inputs(job_of(stage, attempt=attempt)), first)
    assert (read.times, tokenised.times) == (1, 1)


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_streamed_is_what_is_kept_in_memory_and_is_kept_too(
    monkeypatch: pytest.MonkeyPatch, job_of: Callable[..., ResolvedJob], stage: str
) -> None:
    """A stream once ended behind the records that are enough to train a tokenizer on."""
    whole = prepare_inputs(job_of(stage))
    monkeypatch.setattr(loading, "STREAM_SAMPLE", 2)
    # the same tokens: another run directory makes them once more
    streams = [job_of(stage, attempt=attempt, streaming=True, maxSamples=100) for attempt in (1, 2)]
    tokenised = Counted(monkeypatch, cache, "_keep")
    assert all(same(prepare_inputs(job), whole) for job in streams)
    assert tokenised.times == 1


@pytest.mark.parametrize("stage", ["pretrain", "grpo", "ppo"])
def test_as_many_processes_tokenise_as_are_asked_for_and_make_the_same(
    monkeypatch: pytest.MonkeyPatch, job_of: Callable[..., ResolvedJob], make_job: MakeJob, stage: str
) -> None:
    """Prompts (grpo, ppo) were once tokenised by one process, however many cores there were."""
    alone = prepare_inputs(job_of(stage, preprocessing={"workers": 1}))
    # the tokens are the same, and so is their place: they have to be made again
    shutil.rmtree(Path(job_of(stage).paths.run_directory) / preparation.CACHE)
    pools = Counted(monkeypatch, workers, "ProcessPoolExecutor")
    together = prepare_inputs(job_of(stage, preprocessing={"workers": 2}))
    assert pools.times == 1
    assert same(together, alone)


def test_files_are_hashed_by_one_rank_which_the_others_wait_for_without_a_timeout(
    monkeypatch: pytest.MonkeyPatch, job_of: Callable[..., ResolvedJob]
) -> None:
    """What `on_first_rank` does for ranks that wait is in `test_distributed.py`."""
    hashed = Counted(monkeypatch, cache_key, "hash_file")
    at_work: list[bool] = []

    def elsewhere(work: Callable[[], Any]) -> Any:
        """Stands for the first rank, whose answer this one waits for."""
        before = hashed.times
        told = work()
        at_work.append(hashed.times > before)
        hashed.times = 0
        return told

    monkeypatch.setattr(preparation, "on_first_rank", elsewhere)
    prepare_inputs(job_of("sft"))
    assert at_work == [True]
    assert hashed.times == 0, "a rank hashed for itself"


@pytest.fixture
def hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[list[dict[str, Any]], str | None], Counted]:
    """A hub with one data set, at a commit or unable to say which; how often it was read is counted."""

    def holds(records: list[dict[str, Any]], commit: str | None) -> Counted:
        place = tmp_path / f"arrow-{len(records)}"
        datasets.Dataset.from_list(records).save_to_disk(place)

        def info(_self: HfApi, repo_id: str, **_options: object) -> DatasetInfo:
            if commit is None:
                raise ConnectionError("offline")
            return DatasetInfo(id=repo_id, sha=commit)

        monkeypatch.setattr(HfApi, "dataset_info", info)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.load_from_disk(str(place)))
        return Counted(monkeypatch, datasets, "load_dataset")

    return holds


HUB = {"path": None, "hub": {"id": "me/sums"}}


@pytest.mark.parametrize("stage", ["sft", "kto", "grpo"])
def test_data_of_the_hub_at_a_known_commit_is_not_even_read_again(
    hub: Callable[..., Counted], job_of: Callable[..., ResolvedJob], stage: str
) -> None:
    asked = hub(STAGES[stage][1], COMMIT)
    first = prepare_inputs(job_of(stage, HUB))
    assert asked.times == 1
    assert same(prepare_inputs(job_of(stage, HUB, attempt=2)), first)
    assert asked.times == 1


def test_another_commit_is_other_data(
    hub: Callable[..., Counted], job_of: Callable[..., ResolvedJob]
) -> None:
    hub(ANSWERED, COMMIT)
    first = prepare_inputs(job_of("sft", HUB))
    hub(ANSWERED[:5], "2" * 40)
    second = prepare_inputs(job_of("sft", HUB, attempt=2))
    assert (len(first.data), len(second.data)) == (8, 5)


def test_data_of_a_hub_that_does_not_say_is_told_by_what_was_fetched(
    monkeypatch: pytest.MonkeyPatch, hub: Callable[..., Counted], job_of: Callable[..., ResolvedJob]
) -> None:
    hub(ANSWERED, None)
    tokenised = Counted(monkeypatch, cache, "_keep")
    first = prepare_inputs(job_of("sft", HUB))
    assert same(prepare_inputs(job_of("sft", HUB, attempt=2)), first)
    assert tokenised.times == 1
    hub(ANSWERED[:5], None)
    assert len(prepare_inputs(job_of("sft", HUB, attempt=3)).data) == 5
    assert tokenised.times == 2


def test_held_out_data_stays_on_disk(job_of: Callable[..., ResolvedJob]) -> None:
    found = prepare_inputs(job_of("dpo", evalSplit=0.25))
    assert found.evaluation is not None
    assert (len(found.data), len(found.evaluation)) == (6, 2)
    mapped: Any = found.evaluation
    assert type(mapped.records.sequences.whole).__name__ == "StoredSequences"
