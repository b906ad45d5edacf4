"""Benchmarks after training: on the result, and on the base model where that is cheap.

A benchmark that fails says so in its status; the result, which is on the volume by then, stays a success.
`benchmarks/NAME.json` beside the output holds its scores, `NAME.result.jsonl` and `NAME.base.jsonl` each
question and answer. An attempt that finds a file of the same output and settings takes the scores from it.
"""

import gc
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from transformers import AutoTokenizer

from finetune_api.evaluation import BenchmarkSpec
from finetune_api.resolved import ResolvedJob
from finetune_api.status import BenchmarkStatus
from finetune_trainer.evaluation.generations import answers_turns
from finetune_trainer.evaluation.harness import harness
from finetune_trainer.evaluation.human_eval import human_eval
from finetune_trainer.evaluation.prompts import prompts
from finetune_trainer.evaluation.subject import Benchmark, Scored, Subject
from finetune_trainer.files import write_atomically
from finetune_trainer.model.generation_settings import take_up
from finetune_trainer.model.tokenizers import Tokenizer, load_tokenizer
from finetune_trainer.output.merge import Base

log = logging.getLogger(__name__)

DIRECTORY: Final = "benchmarks"
COMPARED_QUESTIONS: Final = 1000
"""Up to so many questions the base model is asked too."""
LONGEST_MESSAGE: Final = 400
SCORES_SHOWN: Final = 8

RUNNERS: Final[dict[str, Benchmark]] = {
    "prompts": prompts,
    "lmEvaluationHarness": harness,
    "humanEval": human_eval,
}
"""By `evaluation.benchmarks[].type`."""

Who = Literal["result", "base"]


class Outcome(BaseModel):
    """`benchmarks/NAME.json`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    type: str
    key: str
    """Hash of the output and of the benchmark's settings."""
    samples: int | None = None
    scores: dict[str, float] = {}
    base: dict[str, float] = {}
    note: str | None = None
    """What is to be known of the result's scores."""
    message: str | None = None
    """Why there are none."""

    def status(self) -> BenchmarkStatus:
        """How the status shows it: the first scores, four digits each."""
        return BenchmarkStatus(
            name=self.name,
            scores=_shown(self.scores),
            base=_shown(self.base),
            samples=self.samples,
            message=self.message or self.note,
        )


@dataclass
class Benchmarks:
    """The benchmarks of a job, run by rank 0 alone."""

    job: ResolvedJob
    base: Base
    result: Path
    """Directory of the adapter or the model."""
    dtype: torch.dtype
    check_stop: Callable[[], None]
    """Raises when the run was told to end."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self) -> list[BenchmarkStatus]:
        """Runs what has no outcome yet; the base model first, since the adapter is then put on it."""
        specs = self.job.spec.evaluation.benchmarks
        self.directory.mkdir(parents=True, exist_ok=True)
        self.outcomes = {spec.name: self._known(spec) or self._fresh(spec) for spec in specs}
        left = [spec for spec in specs if not self._is_done(spec)]
        compared = [spec for spec in left if self._compares(spec)]
        adapter = self.job.spec.method.uses_adapters
        model: Any = None
        if left and (adapter or compared):
            model = self.base.load(self.dtype, torch.device(self.job.device))
            self._ask("base", model, compared)
        if left:
            if not adapter:
                model = None  # a device may have no room for two
            model = self._tuned(model)
            self._ask("result", model, left)
        del model
        gc.collect()
        return [outcome.status() for outcome in self.outcomes.values()]

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return Path(self.job.paths.output_directory) / DIRECTORY

    def _ask(self, who: Who, model: Any, specs: Sequence[BenchmarkSpec]) -> None:
        if not specs:
            return
        subject = Subject(
            model=model.eval(),
            tokenizer=self._tokenizer(who),
            answers_turns=answers_turns(self.job),
            batch_size=self.job.spec.evaluation.micro_batch_size or self.job.spec.training.sequences_per_pass,
            system=self.job.spec.dataset.preprocessing.system_prompt,
        )
        for spec in specs:
            self.check_stop()
            self._score(who, subject, spec)

    def _tokenizer(self, who: Who) -> Tokenizer:
        """The result's, whose chat template is the job's. A base that is to go on with text is asked as its
        own says: training may have taught the result to begin text without a start token, or with one."""
        if who == "base" and not answers_turns(self.job):
            return load_tokenizer(self.job.spec.model, base=self.base.place, revision=self.base.revision)
        trust = self.base.trust_remote_code
        return cast(Tokenizer, AutoTokenizer.from_pretrained(self.result, trust_remote_code=trust))

    def _score(self, who: Who, subject: Subject, spec: BenchmarkSpec) -> None:
        outcome = self.outcomes[spec.name]
        path = self.job.paths.benchmarks.get(spec.name)
        log.info("benchmark %s: asking the %s", spec.name, "base model" if who == "base" else "result")
        try:
            scored = RUNNERS[spec.type](subject, spec, Path(path) if path else None)
        except Exception as error:
            log.warning("benchmark %s failed", spec.name, exc_info=error)
            outcome.message = f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]
        else:
            self._take(who, outcome, scored)
        if who == "result":
            write_atomically(self._file(spec), outcome.model_dump_json(indent=2) + "\n")

    def _take(self, who: Who, outcome: Outcome, scored: Scored) -> None:
        lines = [json.dumps(each, ensure_ascii=False, default=str) + "\n" for each in scored.details]
        write_atomically(self.directory / f"{outcome.name}.{who}.jsonl", "".join(lines))
        outcome.samples = scored.samples
        if who == "base":
            outcome.base = scored.scores
        else:
            outcome.scores = scored.scores
            outcome.note = scored.note[:LONGEST_MESSAGE] if scored.note else None
            outcome.message = None

    def _tuned(self, base: Any) -> Any:
        if self.job.spec.method.uses_adapters:
            from peft import PeftModel

            take_up(base, self.result)
            return PeftModel.from_pretrained(base, self.result)
        result = Base(str(self.result), None, self.base.trust_remote_code)
        return result.load(self.dtype, torch.device(self.job.device))

    def _compares(self, spec: BenchmarkSpec) -> bool:
        """Whether the base is worth its time: not a random one, and not for thousands of questions."""
        if self.job.spec.model.config is not None:
            return False
        known = spec.max_samples is not None and spec.max_samples <= COMPARED_QUESTIONS
        return known or spec.type != "lmEvaluationHarness"

    def _known(self, spec: BenchmarkSpec) -> Outcome | None:
        try:
            found = Outcome.model_validate_json(self._file(spec).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.key == self._key(spec) and found.message is None else None

    def _fresh(self, spec: BenchmarkSpec) -> Outcome:
        return Outcome(name=spec.name, type=spec.type, key=self._key(spec))

    def _is_done(self, spec: BenchmarkSpec) -> bool:
        return bool(self.outcomes[spec.name].scores)

    def _key(self, spec: BenchmarkSpec) -> str:
        files = json.loads((self.result / "manifest.json").read_bytes())["files"]
        settings = spec.model_dump(mode="json")
        return hashlib.sha256(json.dumps([files, settings], sort_keys=True).encode()).hexdigest()

    def _file(self, spec: BenchmarkSpec) -> Path:
        return self.directory / f"{spec.name}.json"


def _shown(scores: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.4g}" for name, value in list(scores.items())[:SCORES_SHOWN]}
