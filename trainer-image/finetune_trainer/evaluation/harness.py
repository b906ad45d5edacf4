"""The benchmark `lmEvaluationHarness`: tasks of lm-evaluation-harness, by name or from a file."""

from pathlib import Path
from typing import Any, Final

from finetune_api.evaluation import BenchmarkSpec
from finetune_trainer.data.asking import front
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.evaluation.subject import Scored, Subject

LONGEST_NAME: Final = 64


def harness(subject: Subject, spec: BenchmarkSpec, _path: Path | None) -> Scored:
    """Runs the tasks. Raises `InvalidConfigError` for a task that there is not, and for one that runs
    programs of the model."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    files = [task for task in spec.tasks if is_file(task)]
    for task in files:
        if not Path(task).is_file():
            raise InvalidConfigError(f"evaluation.benchmarks {spec.name}: there is no task file {task}")
    # looking through the thousands of tasks that come with the library takes seconds
    manager = TaskManager(include_defaults=len(files) < len(spec.tasks))
    model = HFLM(
        pretrained=subject.model,
        tokenizer=subject.tokenizer,
        backend="causal",
        batch_size=subject.batch_size,
        # as the answers to other prompts begin
        add_bos_token=bool(front(subject.tokenizer)),
    )
    try:
        found = simple_evaluate(
            model,
            tasks=list(spec.tasks),
            num_fewshot=spec.few_shot,
            limit=spec.max_samples,
            bootstrap_iters=0,
            log_samples=True,
            task_manager=manager,
            # such a task runs the model's programs in this process, with its tokens and its network
            confirm_run_unsafe_code=False,
        )
    except KeyError as error:
        raise InvalidConfigError(
            f"evaluation.benchmarks {spec.name}: {error.args[0]}. Name a task of lm-evaluation-harness, or "
            "the path of a task file"
        ) from error
    except ValueError as error:
        if "marked as unsafe" not in str(error):
            raise
        raise InvalidConfigError(
            f"evaluation.benchmarks {spec.name}: {', '.join(spec.tasks)} runs programs of the model in the "
            "trainer itself. Use type humanEval, which confines them, with problems of your own in prompts"
        ) from error
    if found is None:
        raise AssertionError("a single process gets the results")
    return Scored(_scores(found["results"]), _count(found), _details(found))


def is_file(task: str) -> bool:
    """Whether a task is meant as a path."""
    return task.endswith((".yaml", ".yml"))


def _scores(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """`task.metric`, or `task.metric.filter` where answers were filtered; without standard errors."""
    found = {}
    for task, values in results.items():
        for key, value in values.items():
            metric, comma, kind = key.partition(",")
            if comma and isinstance(value, int | float) and not metric.endswith("_stderr"):
                name = f"{task}.{metric}" if kind == "none" else f"{task}.{metric}.{kind}"
                found[name[-LONGEST_NAME:]] = float(value)
    return found


def _count(found: Any) -> int:
    return sum(counts["effective"] for counts in found.get("n-samples", {}).values())


def _details(found: Any) -> list[dict[str, Any]]:
    return [
        {
            "task": task,
            "question": sample["doc_id"],
            "expected": str(sample["target"]),
            "answer": str(sample["filtered_resps"]),
            **{metric: sample[metric] for metric in sample["metrics"]},
        }
        for task, samples in found.get("samples", {}).items()
        for sample in samples
    ]
