"""Every family of decoders that the catalog knows, in whole runs: it learns, is killed and goes on exactly,
and what it exports computes what was trained, merged too, and generates.

By default a few; FINETUNE_ALL_COMBINATIONS=1 runs every method on every base for GPT-2, whose layers are
transformers' Conv1D, and for Mixtral, whose experts are parameters of three dimensions, and one of each kind
for the others.
"""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from breadth import EVERYTHING, FAMILY_NAMES
from finetune_api import ResolvedJob, validate_job
from finetune_api.catalog import MODELS
from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_api.model import ModelSpec
from finetune_trainer.errors import InvalidConfigError
from one_rank import DiesAt, Killed, train
from runs import losses

MakeJob = Callable[..., ResolvedJob]
Case = tuple[str, str, str]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # LLM.int8() multiplies in 16 bit, and says so at every call
        "ignore:MatMul8bitLt. inputs will be cast:UserWarning",
        # PEFT takes the names of parameters for those of modules
        "ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning",
        # and finds out by itself how the weights of a Conv1D lie
        "ignore:fan_in_fan_out is set to False but the target module is `Conv1D`:UserWarning",
    ),
]

WHOLE = ["full", "freeze", "spectrum"]
ADAPTED = ["lora", "qlora", "dora", "pissa", "rslora"]
BASES = ["none", "int8", "int4", "nf4", "fp4"]

ONE_OF_EACH = [
    *((method, "none") for method in WHOLE),
    *(("lora", base) for base in ("none", "int8", "int4")),
    ("qlora", "nf4"),
    ("dora", "fp4"),
    ("pissa", "nf4"),
    ("rslora", "none"),
]

ALL_OF_THEM = [*((method, "none") for method in WHOLE), *product(ADAPTED, BASES)]

PECULIAR = ("gpt2", "mixtral")
"""Families whose layers are not all linear ones."""


def cases() -> Iterator[Case]:
    """Family, method, quantization."""
    if not EVERYTHING:
        yield "gpt2", "qlora", "int4"
        yield "mixtral", "full", "none"
        return
    for family in FAMILY_NAMES:
        for method, base in ALL_OF_THEM if family in PECULIAR else ONE_OF_EACH:
            yield family, method, base


def spec(place: Path, method: str, base: str) -> dict[str, Any]:
    """Each step takes all 20 records, so that its loss tells what the steps before have changed."""
    settings: dict[str, Any] = {
        "freeze": {"freeze": {"trainableLayers": 1}},
        "spectrum": {"spectrum": {"topFraction": 0.5}},
    }.get(method, {})
    adapted = method in ADAPTED
    return {
        "model": {"path": str(place)},
        "method": {"type": method, "lora": {"rank": 4, "dropout": 0.0}, **settings},
        "quantization": {"type": base, "allowDora": True},
        "training": {"microBatchSize": 10, "learningRate": 1e-2, "schedule": {"warmupRatio": 0.0}},
        "output": {"mergeAdapter": adapted, "precision": "fp32"},
    }


def refusals(job: ResolvedJob, family: str) -> list[str]:
    """What validation says against the job with the catalog's first model of the family."""
    named = next((model.id for model in MODELS if model.architecture.family == family), None)
    if named is not None:
        job = job.model_copy(update={"spec": job.spec.model_copy(update={"model": ModelSpec(id=named)})})
    findings = validate_job(FineTuneJob(metadata=ObjectMeta(name="tiny"), spec=job.spec), "local")
    return [str(each) for each in findings if each.severity == "error"]


@pytest.mark.parametrize("case", list(cases()), ids="-".join)
def test_a_family_learns_goes_on_exactly_and_exports_what_it_trained_or_is_refused(
    make_job: MakeJob, family_model: Callable[[str], Path], tmp_path: Path, case: Case
) -> None:
    family, method, base = case
    what = spec(family_model(family), method, base)
    whole, killed = make_job(what, run_directory=tmp_path / "whole"), make_job(what)
    if refused := refusals(whole, family):
        with pytest.raises(InvalidConfigError) as caught:
            train(whole)
        # in the same words, once the trainer has read what the model is
        assert str(caught.value) in refused
        return
    result = train(whole)
    assert losses(whole)[-1][1] < 0.99 * losses(whole)[0][1]
    assert result.output is not None
    assert result.output.verified
    assert (result.output.merged_path is not None) == (method in ADAPTED)
    with pytest.raises(Killed):
        train(killed, DiesAt(3))
    assert train(make_job(what, attempt=2)).resumed_step == 2
    assert losses(killed) == losses(whole)
    assert output_weights_of(killed) == output_weights_of(whole)


def output_weights_of(job: ResolvedJob) -> list[bytes]:
    """All files with weights of a run's output."""
    files = Path(job.paths.output_directory).glob("*/*model*.safetensors")
    return [file.read_bytes() for file in sorted(files)]


def around(place: Path, evaluation: Path, questions: Path) -> dict[str, Any]:
    """All that happens beside the steps of a run."""
    return spec(place, "lora", "none") | {
        "dataset": {"packing": True, "eval": {"path": str(evaluation)}},
        "evaluation": {
            "everySteps": 2,
            "metrics": ["perplexity", "tokenAccuracy"],
            "generations": {"prompts": ["add 1 and 2"], "sampling": {"maxNewTokens": 4}},
            "benchmarks": [
                {"name": "sums", "type": "prompts", "prompts": {"path": str(questions)}, "maxNewTokens": 4}
            ],
        },
    }


@pytest.mark.parametrize("family", FAMILY_NAMES if EVERYTHING else [])
def test_a_family_is_packed_evaluated_and_asked(
    make_job: MakeJob, family_model: Callable[[str], Path], write_jsonl: Callable[..., Path], family: str
) -> None:
    records = [{"instruction": f"add {number} and 1", "output": str(number + 1)} for number in range(6)]
    questions = write_jsonl(records, "questions.jsonl")
    job = make_job(around(family_model(family), write_jsonl(records, "eval.jsonl"), questions))
    result = train(job)
    assert losses(job)[-1][1] < losses(job)[0][1]
    assert result.output is not None
    assert result.output.verified
    assert (Path(job.paths.output_directory) / "benchmarks" / "sums.json").is_file()
    assert len((Path(job.paths.run_directory) / "generations.jsonl").read_text().splitlines()) == 2
