"""The examples are applied as they are, and end as their comments say.

`pretrain-from-scratch` and `lora-dates` are what `make demo` runs; `gpu-lora-8b` needs accelerators.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from live import NAMESPACE, REPOSITORY, Cluster, Job


@pytest.fixture
def example(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Iterator[Job]:
    """The FineTuneJob of an example, applied with all that its file brings; deleted when the test ends."""
    path = REPOSITORY / f"examples/{request.param}.yaml"
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    name = next(each["metadata"]["name"] for each in documents if each["kind"] == "FineTuneJob")
    cluster.kubectl("apply", "-n", namespace, "-f", str(path))
    yield Job(cluster, name)
    cluster.kubectl("delete", "-n", namespace, "-f", str(path), "--wait=false")
    claims = cluster.items("persistentvolumeclaims", "-n", NAMESPACE)
    if any(claim["metadata"]["name"] == f"{name}-storage" for claim in claims):
        cluster.kubectl("delete", "-n", namespace, "pvc", f"{name}-storage", "--wait=false")


@pytest.mark.parametrize("example", ["csv-columns", "full-zero2-multinode", "lora-zero3"], indirect=True)
def test_an_example_trains_and_leaves_a_model_that_was_loaded_again(example: Job) -> None:
    status = example.await_condition("Complete", 240)

    assert status["progress"]["percent"] == 100
    assert status["output"]["verified"] is True
    assert status["checkpoints"]["latest"]["complete"] is True
    assert float(status["metrics"]["loss"]) > 0


@pytest.mark.parametrize("example", ["stock-transformers-script"], indirect=True)
def test_a_stock_transformers_script_reports_through_the_protocol(example: Job) -> None:
    status = example.await_condition("Complete", 180)

    assert status["progress"]["percent"] == 100
    assert float(status["metrics"]["loss"]) > 0
