"""`status` of a FineTuneJob. Only the operator writes it."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import Count, Integer, StatusModel, Timestamp, keyed_by
from finetune_api.conditions import Condition, Phase, Reason

MAX_ATTEMPTS_KEPT = 10
MAX_GENERATIONS_SHOWN = 2

MetricName = Annotated[str, Field(min_length=1, max_length=64)]
MetricValue = Annotated[str, Field(max_length=64)]
MetricMap = Annotated[dict[MetricName, MetricValue], Field(max_length=32)]
EffectiveMap = Annotated[dict[MetricName, Annotated[str, Field(max_length=256)]], Field(max_length=64)]
Message = Annotated[str, Field(max_length=8192)]
ShortAnswer = Annotated[str, Field(max_length=128)]
Path = Annotated[str, Field(max_length=1024)]

MAX_WARNING_LENGTH = 256
Warnings = Annotated[list[Annotated[str, Field(max_length=MAX_WARNING_LENGTH)]], Field(max_length=8)]

Activity = Literal[
    "starting", "loading", "tokenizing", "training", "evaluating", "saving", "exporting", "uploading"
]


class ProgressStatus(StatusModel):
    """How far the run is."""

    step: Count = Field(default=0, description="Optimizer steps done, over all attempts of this run.")
    total_steps: Count | None = Field(
        default=None, description="Optimizer steps of the whole run, once known."
    )
    epoch: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Passes over the data done, as a decimal string."
    )
    percent: Annotated[Integer, Field(ge=0, le=100)] = Field(default=0, description="Share done, in percent.")
    tokens: Count | None = Field(default=None, description="Tokens seen.")
    remaining_seconds: Count | None = Field(default=None, description="Expected time left, in seconds.")
    remaining: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Expected time left, for people: 1h20m."
    )
    activity: Activity | None = Field(default=None, description="What the ranks are doing.")
    updated_time: Timestamp | None = Field(default=None, description="When the trainer last reported.")


class CheckpointRef(StatusModel):
    """A checkpoint on the job's volume."""

    step: Count = Field(description="Optimizer step that it holds.")
    path: Path = Field(description="Directory, relative to the volume's root in the cluster.")
    complete: bool = Field(default=True, description="Whether it is whole and its hashes are written.")
    time: Timestamp | None = Field(default=None, description="When it was committed.")
    bytes: Count | None = Field(default=None, description="Size, in bytes.")


class BestCheckpointRef(CheckpointRef):
    """The checkpoint with the best evaluation metric."""

    metric: MetricName = Field(description="Metric that it is best in.")
    value: MetricValue = Field(description="Value of that metric, as a decimal string.")


class CheckpointsStatus(StatusModel):
    """Checkpoints that are there."""

    latest: CheckpointRef | None = Field(default=None, description="Newest one.")
    best: BestCheckpointRef | None = Field(default=None, description="Best one, where evaluation tells.")


class OutputStatus(StatusModel):
    """What the job has left."""

    kind: Literal["adapter", "model", "merged"] = Field(
        description="adapter: needs the base model. model: whole weights. merged: adapter merged "
        "into the base."
    )
    path: Path = Field(description="Directory, relative to the volume's root in the cluster.")
    verified: bool = Field(default=False, description="Whether it was loaded and run once.")
    bytes: Count | None = Field(default=None, description="Size, in bytes.")
    merged_path: Path | None = Field(
        default=None, description="Directory of the merged 16-bit model, where one was asked for."
    )
    merged_bytes: Count | None = Field(default=None, description="Size of the merged model, in bytes.")


class HubStatus(StatusModel):
    """What is on the Hugging Face hub."""

    repository: Annotated[str, Field(max_length=256)] = Field(description="Repository: organisation/name.")
    revision: Annotated[str, Field(max_length=128)] = Field(description="Branch that is pushed to.")
    step: Count | None = Field(default=None, description="Optimizer step of what was pushed last.")
    complete: bool = Field(
        default=False, description="Whether the result is there; what was pushed before is a checkpoint."
    )
    commit: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Commit of the last push."
    )
    message: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Why the result is not there, though it is on the volume."
    )


class BenchmarkStatus(StatusModel):
    """The scores of one benchmark; questions and answers are in its files."""

    name: MetricName = Field(description="Name of the benchmark in the spec.")
    scores: Annotated[dict[MetricName, MetricValue], Field(max_length=16)] = Field(
        default={}, description="Scores of the result, as decimal strings."
    )
    base: Annotated[dict[MetricName, MetricValue], Field(max_length=16)] = Field(
        default={}, description="The same scores of the base model, where they were taken."
    )
    samples: Count | None = Field(default=None, description="Questions that were asked.")
    message: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Why there are no scores."
    )


class GenerationStatus(StatusModel):
    """A prompt and the start of its answers."""

    prompt: ShortAnswer = Field(description="The prompt, cut.")
    before: ShortAnswer | None = Field(default=None, description="Answer before training, cut.")
    after: ShortAnswer | None = Field(default=None, description="Newest answer, cut.")


class EvaluationStatus(StatusModel):
    """Benchmarks and sample answers; the curves of the loss are in metrics.jsonl."""

    path: Path | None = Field(
        default=None,
        description="Directory of the benchmarks' files, relative to the volume's root in the cluster.",
    )
    benchmarks: Annotated[list[BenchmarkStatus], *keyed_by("name"), Field(max_length=16)] = Field(
        default=[], description="Benchmarks that ran on the result."
    )
    generations: Annotated[list[GenerationStatus], Field(max_length=MAX_GENERATIONS_SHOWN)] = Field(
        default=[], description="The first sample prompts; all are in generations.jsonl."
    )


class AttemptStatus(StatusModel):
    """One run of the pods."""

    number: Annotated[Integer, Field(ge=1)] = Field(description="Number, from 1.")
    start_time: Timestamp | None = Field(default=None, description="When its first pod started.")
    end_time: Timestamp | None = Field(default=None, description="When its last pod ended.")
    outcome: Literal["Running", "Succeeded", "Failed", "Preempted", "Suspended", "Cancelled", "Lost"] = Field(
        default="Running", description="How it ended."
    )
    reason: Annotated[Reason, Field(strict=False)] | None = Field(default=None, description="Why it ended.")
    message: Message | None = Field(default=None, description="What happened, and what to change.")
    exit_code: Annotated[Integer, Field(ge=0, le=255)] | None = Field(
        default=None, description="Exit status of the container that decided the outcome."
    )
    resumed_step: Count | None = Field(
        default=None, description="Step of the checkpoint that it started from; none: from the start."
    )
    last_step: Count | None = Field(default=None, description="Last optimizer step that was reported.")
    pods: Count | None = Field(default=None, description="Number of its pods.")
    rank_seconds: Count | None = Field(default=None, description="Seconds × ranks that it has used.")
    gpu_seconds: Count | None = Field(default=None, description="Seconds × accelerators that it has used.")
    warnings: Warnings = Field(
        default=[], description="What is wrong without stopping the run, such as a tracker."
    )
    changes: Annotated[dict[str, MetricValue], Field(max_length=16)] = Field(
        default={}, description="What differs from the attempt before, by field path."
    )


class UsageStatus(StatusModel):
    """What all attempts have used together. Wasted is what a resumed attempt had to do again."""

    gpu_seconds: Count = Field(default=0, description="Seconds × accelerators.")
    wasted_gpu_seconds: Count = Field(default=0, description="Of these, lost with failed attempts.")
    rank_seconds: Count = Field(default=0, description="Seconds × ranks, on CPU too.")
    wasted_rank_seconds: Count = Field(default=0, description="Of these, lost with failed attempts.")
    cost_usd: MetricValue | None = Field(
        default=None, alias="costUSD", description="Cost in US dollars at the catalog's prices, as a decimal."
    )
    energy_kwh: MetricValue | None = Field(
        default=None, alias="energyKWh", description="Energy in kilowatt-hours, as a decimal."
    )


class CorrectedEstimateStatus(StatusModel):
    """What is expected once the run itself has been measured; decimal strings."""

    after_steps: Count = Field(description="Optimizer steps after which it was measured.")
    tokens_per_second: MetricValue = Field(description="Measured speed of all ranks together.")
    seconds_per_step: MetricValue = Field(description="Measured time of an optimizer step.")
    memory_per_device_gib: MetricValue | None = Field(
        default=None,
        alias="memoryPerDeviceGiB",
        description="Peak memory per device, in GiB: what torch allocated, and the predicted overhead.",
    )
    duration_seconds: Count = Field(description="Time from the first step to the last, in seconds.")
    cost_usd: MetricValue | None = Field(default=None, alias="costUSD", description="Cost in US dollars.")
    energy_kwh: MetricValue | None = Field(default=None, alias="energyKWh", description="Energy, in kWh.")
    carbon_grams: MetricValue | None = Field(default=None, description="Carbon dioxide, in grams.")


class EstimateStatus(StatusModel):
    """What the estimator expects; decimal strings."""

    accelerator: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Accelerator that it is for, by its name in the hardware catalog."
    )
    memory_per_device_gib: MetricValue | None = Field(
        default=None, alias="memoryPerDeviceGiB", description="Peak memory per device, in GiB."
    )
    steps: Count | None = Field(default=None, description="Optimizer steps.")
    duration_seconds: Count | None = Field(default=None, description="Time from start to end, in seconds.")
    cost_usd: MetricValue | None = Field(default=None, alias="costUSD", description="Cost in US dollars.")
    energy_kwh: MetricValue | None = Field(default=None, alias="energyKWh", description="Energy, in kWh.")
    carbon_grams: MetricValue | None = Field(default=None, description="Carbon dioxide, in grams.")
    measured: bool = Field(default=False, description="Whether the run itself was measured: see corrected.")
    corrected: CorrectedEstimateStatus | None = Field(
        default=None, description="The same after 20 measured steps; what was predicted stays beside it."
    )


class PresetStatus(StatusModel):
    """The preset that the job started from. It is looked up once, when the first attempt begins."""

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Name, as in spec.preset.")
    source: Literal["builtin", "namespace"] = Field(
        description="builtin: it comes with the product. namespace: a FineTunePreset of the job's namespace."
    )
    resource_version: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="metadata.resourceVersion of the FineTunePreset that was read."
    )
    digest: Annotated[str, Field(max_length=64)] = Field(
        description="SHA-256 of its values, in hexadecimal. The values are in the attempts' ConfigMaps."
    )


class FineTuneJobStatus(StatusModel):
    """State, as last observed. Only the operator writes it."""

    observed_generation: Annotated[Integer, Field(ge=-1)] = Field(
        default=-1, description="metadata.generation that this status is for; -1: not seen yet."
    )
    phase: Annotated[Phase, Field(strict=False)] | None = Field(
        default=None, description="One word for people; programs read conditions."
    )
    conditions: Annotated[list[Condition], *keyed_by("type"), Field(max_length=16)] = Field(
        default=[], description="Aspects of the state, after kstatus."
    )
    start_time: Timestamp | None = Field(
        default=None, description="When the first attempt was created; from then on the spec is fixed."
    )
    completion_time: Timestamp | None = Field(
        default=None, description="When the job succeeded or failed for good."
    )
    progress: ProgressStatus | None = Field(default=None, description="How far the run is.")
    metrics: MetricMap = Field(
        default={},
        description="Latest values, as decimal strings: loss, evalLoss, learningRate, gradNorm, "
        "tokensPerSecond, …",
    )
    checkpoints: CheckpointsStatus | None = Field(default=None, description="Checkpoints that are there.")
    output: OutputStatus | None = Field(default=None, description="What the job has left.")
    hub: HubStatus | None = Field(
        default=None, description="What is on the Hugging Face hub, where output.hub asks for it."
    )
    evaluation: EvaluationStatus | None = Field(
        default=None, description="Benchmarks and sample answers, where they were asked for."
    )
    attempt: Count | None = Field(default=None, description="Number of the newest attempt.")
    attempts: Annotated[list[AttemptStatus], *keyed_by("number"), Field(max_length=MAX_ATTEMPTS_KEPT)] = (
        Field(default=[], description="Runs of the pods: the newest ten.")
    )
    retries: Count = Field(default=0, description="Retries of failurePolicy.maxRetries that are used up.")
    usage: UsageStatus | None = Field(default=None, description="What all attempts have used together.")
    effective: EffectiveMap = Field(default={}, description="What really runs, after automatic decisions.")
    preset: PresetStatus | None = Field(default=None, description="The preset that the job started from.")
    estimate: EstimateStatus | None = Field(default=None, description="What the estimator expects.")

    def condition(self, condition_type: str) -> Condition | None:
        """The condition of this type, if it is there."""
        return next((condition for condition in self.conditions if condition.type == condition_type), None)
