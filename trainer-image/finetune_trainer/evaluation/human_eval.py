"""The benchmark `humanEval`: Python functions that the model completes, run against their tests.

Chen et al. 2021, «Evaluating Large Language Models Trained on Code»: the model goes on with the function's
head; the answer ends where another definition begins; pass@1 with the likeliest answer. A record holds
`task_id`, `prompt`, `test` and `entry_point`.
"""

import re
from itertools import islice
from pathlib import Path
from typing import Final

from finetune_api.evaluation import BenchmarkSpec
from finetune_trainer.data.examples import BrokenRecordError, Record
from finetune_trainer.data.formats.base import required_text
from finetune_trainer.errors import DataError
from finetune_trainer.evaluation.sandbox import run_program
from finetune_trainer.evaluation.subject import Scored, Subject, hub_records, questions

DATA_SET: Final = "openai/openai_humaneval"
END: Final = re.compile(r"\n(?=class |def |#|if |print|@|```)")
"""Where the paper stops: the first line that is no longer part of the function."""


def human_eval(subject: Subject, spec: BenchmarkSpec, path: Path | None) -> Scored:
    """Completes and runs every problem. Raises `DataError`, and `SandboxError` where programs cannot be
    confined."""
    if not spec.allow_code_execution:
        raise AssertionError("validation has seen to it that programs may run")
    if spec.prompts is not None:
        records = questions(spec, path)
    else:
        records = list(islice(hub_records(DATA_SET, None, "test", None), spec.max_samples))
    # all of them before the model is asked
    heads, tests, entries = (
        [_text(record, name) for record in records] for name in ("prompt", "test", "entry_point")
    )
    answers = subject.answers(heads, spec.max_new_tokens)
    details = []
    for record, head, test, entry, answer in zip(records, heads, tests, entries, answers, strict=True):
        body = END.split(answer, maxsplit=1)[0]
        verdict = run_program(f"{head}{body}\n\n{test}\n\ncheck({entry})\n")
        task = str(record.fields.get("task_id", record.origin))
        details.append({"task": task, "answer": body, "verdict": verdict})
    passed = sum(each["verdict"] == "passed" for each in details)
    return Scored({"passAt1": passed / len(details)}, len(details), details)


def _text(record: Record, name: str) -> str:
    try:
        return required_text(record, name)
    except BrokenRecordError as error:
        raise DataError(f"{record.origin}: {error}") from error
