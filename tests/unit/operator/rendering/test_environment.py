"""Keys reach the pod from Secrets and are never written into it; reports go past proxies."""

from typing import Any

import pytest

from finetune_api import parse_job
from finetune_operator.rendering import RenderConfig
from finetune_operator.rendering.environment import environment
from manifests import changed

CONFIG = RenderConfig(trainer_image="trainer", status_url="https://status", ca_pem="")


def secrets(changes: dict[str, Any]) -> dict[str, str]:
    """Variables that come from a Secret, with its name and key."""
    variables = environment(parse_job(changed(changes)), 1, CONFIG)
    found = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in variables if "valueFrom" in item}
    return {name: f"{reference['name']}/{reference['key']}" for name, reference in found.items()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            {"http": {"url": "https://data/a", "tokenSecret": {"name": "store", "key": "token"}}},
            {"FINETUNE_TRAIN_HTTP_TOKEN": "store/token"},
        ),
        (
            {
                "s3": {
                    "uri": "s3://bucket/key",
                    "accessKeySecret": {"name": "store", "key": "id"},
                    "secretKeySecret": {"name": "store", "key": "secret"},
                }
            },
            {"FINETUNE_TRAIN_S3_ACCESS_KEY": "store/id", "FINETUNE_TRAIN_S3_SECRET_KEY": "store/secret"},
        ),
        ({"s3": {"uri": "s3://bucket/key", "anonymous": True}}, {}),
    ],
    ids=["http", "s3", "anonymous"],
)
def test_a_data_source_gets_its_keys_from_secrets(source: dict[str, Any], expected: dict[str, str]) -> None:
    assert secrets({"dataset.train": source}) == expected


def test_training_and_evaluation_data_have_keys_of_their_own() -> None:
    sources = {
        part: {"http": {"url": f"https://data/{part}", "tokenSecret": {"name": part, "key": "token"}}}
        for part in ("train", "eval")
    }
    assert secrets({f"dataset.{part}": source for part, source in sources.items()}) == {
        "FINETUNE_TRAIN_HTTP_TOKEN": "train/token",
        "FINETUNE_EVAL_HTTP_TOKEN": "eval/token",
    }


def test_each_benchmark_has_keys_of_its_own() -> None:
    benchmarks = [
        {
            "name": name,
            "type": "prompts",
            "prompts": {"http": {"url": "https://data/a", "tokenSecret": {"name": name, "key": "token"}}},
        }
        for name in ("sums", "dates")
    ]
    assert secrets({"evaluation.benchmarks": benchmarks}) == {
        "FINETUNE_BENCHMARK_0_HTTP_TOKEN": "sums/token",
        "FINETUNE_BENCHMARK_1_HTTP_TOKEN": "dates/token",
    }


def given(*env: dict[str, str]) -> dict[str, str | None]:
    """The variables of a job that names these, by name."""
    job = parse_job(changed({"resources": {"env": list(env)}}))
    return {item["name"]: item.get("value") for item in environment(job, 1, CONFIG)}


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_reports_go_past_a_proxy_for_downloads(name: str) -> None:
    assert given({"name": name, "value": "http://proxy:3128"})["NO_PROXY"] == "status"


def test_exceptions_of_the_users_own_stay_theirs() -> None:
    own = given({"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "no_proxy", "value": ".svc"})
    assert (own["no_proxy"], "NO_PROXY" in own) == (".svc", False)
    assert "NO_PROXY" not in given()
