"""Rules about `spec.evaluation`."""

from collections.abc import Iterator

from finetune_api.dataset import SOURCES
from finetune_api.evaluation import BenchmarkSpec
from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error
from finetune_api.validation.rules.common import exactly_one


def evaluation(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Benchmarks that have what their type needs."""
    for index, benchmark in enumerate(job.spec.evaluation.benchmarks):
        yield from _benchmark(benchmark, f"evaluation.benchmarks[{index}]")


def _benchmark(benchmark: BenchmarkSpec, path: str) -> Iterator[Finding]:
    if benchmark.type == "lmEvaluationHarness" and not benchmark.tasks:
        yield error(Code.REQUIRES, f"{path}.tasks", "no task is named", "Name tasks, such as [hellaswag]")
    if benchmark.type == "prompts":
        if benchmark.prompts is None:
            yield error(Code.REQUIRES, f"{path}.prompts", "no prompts are given", "Set prompts to a source")
        else:
            yield from exactly_one(benchmark.prompts, f"{path}.prompts", SOURCES, "data")
    if benchmark.type == "humanEval" and not benchmark.allow_code_execution:
        yield error(
            Code.REQUIRES,
            f"{path}.allowCodeExecution",
            "humanEval runs programs that the model has written",
            "Allow it with allowCodeExecution: true, or remove the benchmark",
            False,
        )
