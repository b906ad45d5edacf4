"""How much memory it takes to prepare the data of a job, in a process that has done such work before."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from finetune_api import ResolvedJob
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.recipes import prepare
from finetune_trainer.model.tokenizers import CHATML
from preloaded import forked


def growth(job: ResolvedJob, warm_up: ResolvedJob, model: Path, note: Path) -> int:
    """Bytes by which the process is larger at its largest while it prepares the data of a job than while it
    prepares that of another; `note` is a file to write to."""
    process = forked(_prepare, job, warm_up, model, note)
    process.join()
    assert process.exitcode == 0
    return int(note.read_text())


def _prepare(job: ResolvedJob, warm_up: ResolvedJob, model: Path, note: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = CHATML
    before = _peak(warm_up, tokenizer)
    note.write_text(str(_peak(job, tokenizer) - before))


def _peak(job: ResolvedJob, tokenizer: Any) -> int:
    spec = job.spec.dataset
    # 5: the largest size is counted from here
    Path("/proc/self/clear_refs").write_text("5")
    examples = lambda: load_examples(spec, spec.train, job.paths.train)  # noqa: E731
    data, _ = prepare(job, examples, tokenizer)
    assert len(data[len(data) - 1]["input_ids"]) > 0
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024
