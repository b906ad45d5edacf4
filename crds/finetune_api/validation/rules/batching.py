"""Rules about how records share sequences, and in which order they come."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.rules_over_sections import STREAM_ENDS, STREAM_UNPACKED
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error, warning

PACKABLE_STAGES: Final = ("pretrain", "sft")
ISOLATING_ATTENTION: Final = ("auto", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


def batching(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Packing, streaming and grouping by length that do not exclude one another."""
    if job.spec.dataset.packing:
        yield from _packing(job)
    if job.spec.dataset.streaming:
        yield from _streaming(job)
    columns, sampling = job.spec.dataset.columns, job.spec.training.sampling
    if columns.length is not None and sampling != "groupByLength":
        yield error(
            Code.CONFLICT,
            "dataset.columns.length",
            f"is for training.sampling groupByLength, and that is {sampling}",
            "Remove it or use training.sampling groupByLength",
            columns.length,
        )


def _packing(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    if spec.training.stage not in PACKABLE_STAGES:
        yield error(
            Code.CONFLICT,
            "dataset.packing",
            f"joins records into one sequence, and stage {spec.training.stage} compares whole records",
            "Set dataset.packing to false",
            True,
        )
    if spec.dataset.streaming:
        yield broken(Code.CONFLICT, STREAM_UNPACKED, True)
    if spec.training.sampling == "groupByLength":
        yield error(
            Code.CONFLICT,
            "training.sampling",
            "puts sequences of one length together, and packed ones are all full",
            "Use training.sampling random, or set dataset.packing to false",
            "groupByLength",
        )
    if spec.model.attention not in ISOLATING_ATTENTION:
        yield warning(
            Code.PACKING_ATTENTION,
            "model.attention",
            "holds the whole square of scores of each packed sequence, and keeps its records apart only "
            "while no attention mask is passed",
            "Use model.attention auto, sdpa or flash_attention_2, or set dataset.packing to false",
            spec.model.attention,
        )
    if spec.model.kernels == "unsloth":
        yield warning(
            Code.PACKING_ATTENTION,
            "model.kernels",
            "replaces the attention by one of its own, and packed records may see one another",
            "Use model.kernels none or liger, or set dataset.packing to false",
            "unsloth",
        )


def _streaming(job: FineTuneJob) -> Iterator[Finding]:
    spec = job.spec
    if spec.training.max_steps is None:
        yield broken(Code.REQUIRES, STREAM_ENDS)
    if spec.dataset.eval_split > 0:
        yield error(
            Code.CONFLICT,
            "dataset.evalSplit",
            "a share of a stream can't be held out",
            "Use dataset.eval, or set dataset.streaming to false",
            spec.dataset.eval_split,
        )
    if spec.training.sampling == "groupByLength":
        yield error(
            Code.CONFLICT,
            "training.sampling",
            "needs the length of every record, and a stream shows them one by one",
            "Use training.sampling random, or set dataset.streaming to false",
            "groupByLength",
        )
