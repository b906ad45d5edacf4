"""Rules about `spec.evaluation`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.dataset import SOURCES, DataSource
from finetune_api.evaluation import BenchmarkSpec
from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import value_at
from finetune_api.validation.findings import Finding, error
from finetune_api.validation.rules.common import exactly_one

_NOT_READ: Final = ("s3", "upload", "http.tokenSecret")


def evaluation(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Benchmarks that have what their type needs."""
    for index, benchmark in enumerate(job.spec.evaluation.benchmarks):
        yield from _benchmark(benchmark, f"evaluation.benchmarks[{index}]")


def _benchmark(benchmark: BenchmarkSpec, path: str) -> Iterator[Finding]:
    if benchmark.type == "lmEvaluationHarness" and not benchmark.tasks:
        yield error(Code.REQUIRES, f"{path}.tasks", "no task is named", "Name tasks, such as [hellaswag]")
    files = [task for task in benchmark.tasks if task.endswith((".yaml", ".yml"))]
    if benchmark.type == "lmEvaluationHarness" and files and not benchmark.allow_code_execution:
        yield error(
            Code.REQUIRES,
            f"{path}.allowCodeExecution",
            f"{files[0]} is a file whose templates and functions are programs",
            "Allow it with allowCodeExecution: true, or name tasks that come with lm-evaluation-harness",
            False,
        )
    if benchmark.type == "prompts" and benchmark.prompts is None:
        yield error(Code.REQUIRES, f"{path}.prompts", "no prompts are given", "Set prompts to a source")
    if benchmark.prompts is not None:
        yield from _source(benchmark.prompts, f"{path}.prompts")
    if benchmark.type == "humanEval" and not benchmark.allow_code_execution:
        yield error(
            Code.REQUIRES,
            f"{path}.allowCodeExecution",
            "humanEval runs programs that the model has written",
            "Allow it with allowCodeExecution: true, or remove the benchmark",
            False,
        )


def _source(source: DataSource, path: str) -> Iterator[Finding]:
    yield from exactly_one(source, path, SOURCES, "data")
    for field in _NOT_READ:
        if value_at(source, field) is not None:
            yield error(
                Code.NOT_YET_SUPPORTED,
                f"{path}.{field}",
                "is part of the API, but this version can't read benchmarks from there yet",
                "Use path, pvc, configMap, hub or http",
            )
