"""`spec.evaluation`: what is measured while training and after it."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, DnsLabel, Integer, ShortText, keyed_by
from finetune_api.dataset import DataSource
from finetune_api.stages import SamplingSpec


class BenchmarkSpec(ApiModel):
    """A benchmark that runs after training."""

    name: DnsLabel = Field(description="Name of the benchmark's results.")
    type: Literal["lmEvaluationHarness", "humanEval", "prompts"] = Field(
        description="lmEvaluationHarness: tasks by name. humanEval: Python functions, executed. "
        "prompts: prompts of your own with expected answers."
    )
    tasks: Annotated[list[ShortText], Field(max_length=64)] = Field(
        default=[],
        description="Tasks of lm-evaluation-harness: names, or absolute paths of task files (.yaml) inside "
        "a volume of resources.volumes.",
    )
    few_shot: Annotated[Integer, Field(ge=0, le=64)] = Field(
        default=0, description="Solved examples in front of each question."
    )
    max_samples: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Questions that are asked; all when absent."
    )
    prompts: DataSource | None = Field(
        default=None,
        description="Prompts with expected answers, for prompts. For humanEval problems of its form, in "
        "place of those on the hub.",
    )
    match: Literal["exact", "contains", "regex", "numeric", "rouge"] = Field(
        default="exact", description="How an answer is compared to the expected one, for prompts."
    )
    max_new_tokens: Annotated[Integer, Field(ge=1, le=131072)] = Field(
        default=256, description="Longest answer, in tokens, for prompts and humanEval."
    )
    allow_code_execution: bool = Field(
        default=False,
        description="Lets humanEval run the model's programs, in a process without network, and lets "
        "lmEvaluationHarness read task files, whose templates are programs.",
    )


class GenerationsSpec(ApiModel):
    """Sample answers, before and after training and in between."""

    prompts: Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=16)] = (
        Field(default=[], description="Prompts that the model answers.")
    )
    every_steps: Annotated[Integer, Field(ge=0, le=100_000_000)] = Field(
        default=0, description="Optimizer steps between two rounds; 0: only before and after training."
    )
    sampling: SamplingSpec = Field(default={}, validate_default=True, description="How answers are drawn.")


class EvaluationSpec(ApiModel):
    """Evaluation loss while training, sample answers, and benchmarks after it."""

    every_steps: Annotated[Integer, Field(ge=0, le=100_000_000)] = Field(
        default=100,
        description="Optimizer steps between evaluations, where there is evaluation data; 0 for "
        "none by steps.",
    )
    at_epoch_end: bool = Field(default=False, description="Whether each epoch ends with an evaluation.")
    at_end: bool = Field(default=True, description="Whether the run ends with an evaluation.")
    micro_batch_size: Annotated[Integer, Field(ge=1, le=65536)] | None = Field(
        default=None, description="Sequences per rank in one pass; training.microBatchSize when absent."
    )
    accumulation_steps: Annotated[Integer, Field(ge=1, le=65536)] | None = Field(
        default=None,
        description="Passes whose sums stay on the device before they move to the host; all if absent.",
    )
    max_samples: Annotated[Integer, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None, description="Evaluation records that are used; all when absent."
    )
    metrics: Annotated[list[Literal["perplexity", "tokenAccuracy"]], Field(max_length=8)] = Field(
        default=[], description="Metrics beside the loss."
    )
    generations: GenerationsSpec | None = Field(
        default=None, description="Sample answers to prompts; none when absent."
    )
    benchmarks: Annotated[list[BenchmarkSpec], *keyed_by("name"), Field(max_length=16)] = Field(
        default=[], description="Benchmarks that run on the result."
    )
