"""Data in S3, against a server that speaks the protocol and checks signatures."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finetune_api import ResolvedJob
from finetune_api.dataset import S3Source
from finetune_trainer.data.download import fetch_sources
from finetune_trainer.data.s3 import Keys, fetch_objects
from finetune_trainer.errors import DataError, InvalidConfigError, TrainerError
from s3_server import Bucket, S3Server, running

ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = Keys(ACCESS, SECRET)
LINE = b'{"instruction": "a", "output": "b"}\n'
REFERENCE = {"name": "store", "key": "key"}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    private = Bucket(
        {
            "sets/train.jsonl": LINE,
            "sets/many/a b.jsonl": LINE * 2,
            "sets/many/deep/c.jsonl": LINE * 3,
            "sets/torn.jsonl": LINE * 1000,
        },
        torn={"sets/torn.jsonl"},
    )
    buckets = {"data": private, "open": Bucket({"train.jsonl": LINE}, public=True)}
    with running(buckets, {ACCESS: SECRET}, region="eu-test-1") as started:
        yield started


def source(server: S3Server, uri: str, **fields: object) -> S3Source:
    given = {"uri": uri, "endpoint": server.endpoint, "region": "eu-test-1"} | fields
    return S3Source.from_json_object(given)


def test_an_object_is_fetched_once_under_its_own_name(server: S3Server, tmp_path: Path) -> None:
    what = source(server, "s3://data/sets/train.jsonl")
    path = fetch_objects(what, tmp_path, KEYS)
    assert (path.name, path.read_bytes()) == ("train.jsonl", LINE)
    asked = len(server.asked)
    assert fetch_objects(what, tmp_path, KEYS) == path
    assert len(server.asked) == asked


def test_all_objects_under_a_prefix_become_a_directory(server: S3Server, tmp_path: Path) -> None:
    path = fetch_objects(source(server, "s3://data/sets/many/"), tmp_path, KEYS)
    found = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*.jsonl")}
    assert found == {"a_b.jsonl": LINE * 2, "deep/c.jsonl": LINE * 3}


def test_objects_have_their_name_only_once_they_are_on_disk(
    server: S3Server, tmp_path: Path, flushed: list[Path]
) -> None:
    fetch_objects(source(server, "s3://data/sets/train.jsonl"), tmp_path, KEYS)
    staged = flushed[1]
    assert staged.suffix == ".tmp"
    assert flushed == [staged / "train.jsonl", staged, tmp_path]


def test_a_public_bucket_is_read_without_an_identity(server: S3Server, tmp_path: Path) -> None:
    path = fetch_objects(source(server, "s3://open/train.jsonl", anonymous=True), tmp_path, None)
    assert path.read_bytes() == LINE


@pytest.mark.parametrize(
    ("uri", "fields", "keys"),
    [
        ("s3://data/sets/train.jsonl", {}, Keys(ACCESS, "wrong")),
        ("s3://data/sets/train.jsonl", {}, Keys("NOBODY", SECRET)),
        ("s3://data/sets/train.jsonl", {"anonymous": True}, None),
        ("s3://data/sets/train.jsonl", {"region": "elsewhere"}, KEYS),
        ("s3://missing/train.jsonl", {}, KEYS),
        ("s3://data/sets/missing.jsonl", {}, KEYS),
    ],
    ids=["wrong key", "unknown key", "anonymous", "other region", "no bucket", "no object"],
)
def test_what_is_not_there_or_not_allowed_is_no_reason_to_try_again(
    server: S3Server, tmp_path: Path, uri: str, fields: dict[str, object], keys: Keys | None
) -> None:
    with pytest.raises(DataError, match=f"^{uri}: ") as caught:
        fetch_objects(source(server, uri, **fields), tmp_path, keys)
    assert SECRET not in str(caught.value)
    assert ACCESS not in str(caught.value)
    assert list(tmp_path.glob("*/*")) == [], "nothing is kept of it"


def test_a_transfer_that_breaks_off_is_worth_another_try(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"torn\.jsonl: ") as caught:
        fetch_objects(source(server, "s3://data/sets/torn.jsonl"), tmp_path, KEYS)
    assert not isinstance(caught.value, DataError)
    assert list(tmp_path.glob("*/*")) == []


def test_a_store_that_does_not_answer_is_worth_another_try(server: S3Server, tmp_path: Path) -> None:
    what = source(server, "s3://data/sets/train.jsonl", endpoint="http://127.0.0.1:1")
    with pytest.raises(TrainerError, match=r"train\.jsonl: ") as caught:
        fetch_objects(what, tmp_path, KEYS)
    assert not isinstance(caught.value, DataError)


def test_a_job_s_keys_come_from_the_environment(
    server: S3Server, make_job: Callable[..., ResolvedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"uri": "s3://data/sets/train.jsonl", "endpoint": server.endpoint, "region": "eu-test-1"}
    keys = {"accessKeySecret": REFERENCE, "secretKeySecret": REFERENCE}
    job = make_job({"dataset": {"train": {"path": None, "s3": given | keys}}})
    with pytest.raises(InvalidConfigError, match=r"^dataset\.train: FINETUNE_TRAIN_S3_ACCESS_KEY is not in"):
        fetch_sources(job)
    monkeypatch.setenv("FINETUNE_TRAIN_S3_ACCESS_KEY", ACCESS)
    monkeypatch.setenv("FINETUNE_TRAIN_S3_SECRET_KEY", SECRET)
    found = fetch_sources(job).paths.train
    assert found is not None
    assert Path(found).read_bytes() == LINE


def test_a_benchmark_s_questions_are_fetched_with_keys_of_their_own(
    server: S3Server, make_job: Callable[..., ResolvedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"uri": "s3://data/sets/train.jsonl", "endpoint": server.endpoint, "region": "eu-test-1"}
    keys = {"accessKeySecret": REFERENCE, "secretKeySecret": REFERENCE}
    sums = {"name": "sums", "type": "prompts", "prompts": {"s3": given | keys}}
    local = {"name": "local", "type": "prompts", "prompts": {"path": "/questions.jsonl"}}
    job = make_job({"evaluation": {"benchmarks": [local, sums]}})
    with pytest.raises(
        InvalidConfigError,
        match=r"^evaluation\.benchmarks\[1\]\.prompts: FINETUNE_BENCHMARK_1_S3_ACCESS_KEY is not in",
    ):
        fetch_sources(job)
    monkeypatch.setenv("FINETUNE_BENCHMARK_1_S3_ACCESS_KEY", ACCESS)
    monkeypatch.setenv("FINETUNE_BENCHMARK_1_S3_SECRET_KEY", SECRET)
    found = fetch_sources(job).paths
    assert found.benchmarks["local"] == "/questions.jsonl"
    assert Path(found.benchmarks["sums"]).read_bytes() == LINE
    assert found.train == job.paths.train


def test_keys_are_not_shown() -> None:
    assert SECRET not in repr(KEYS)
