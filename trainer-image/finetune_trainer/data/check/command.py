"""`python -m finetune_trainer check-data`: prints or writes the report."""

import json
import sys
from pathlib import Path
from typing import Literal

from finetune_api.resolved import ResolvedJob
from finetune_api.result import ExitCode
from finetune_trainer.data.check.collect import check_data
from finetune_trainer.data.check.html import to_html
from finetune_trainer.data.check.report import DataReport, to_json
from finetune_trainer.data.check.text import samples_to_text, to_text

Form = Literal["text", "json", "html", "samples"]


def run(job: ResolvedJob, *, form: Form, out: Path | None, samples: int) -> ExitCode:
    """Writes the report to a file or standard output. Returns `DATA_ERROR` when training would not begin.

    Raises what `check_data` raises.
    """
    report = check_data(job, samples)
    text = written(report, form)
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")
    return ExitCode.SUCCEEDED if report.is_usable else ExitCode.DATA_ERROR


def written(report: DataReport, form: Form) -> str:
    """The report in one of its forms."""
    match form:
        case "json":
            return json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n"
        case "html":
            return to_html(report)
        case "samples":
            return samples_to_text(report)
        case "text":
            return to_text(report)
