"""Rules about the stages that learn from preferences and rewards, and about settings of other stages."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob, processes_per_node
from finetune_api.stages import DpoSpec, GrpoSpec, PpoSpec, SamplingSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import value_at
from finetune_api.validation.findings import Finding, error
from finetune_api.validation.rules.common import exactly_one

_SETTINGS: Final = {
    "dpo": ("dpo", "dpo"),
    "kto": ("kto", "kto"),
    "ppo": ("ppo", "ppo"),
    "grpo": ("grpo", "grpo"),
    "rewardModel": ("reward_model", "rm"),
}
"""Stage that each section of training belongs to, and the section's attribute."""

_LIKELIHOOD_STAGES: Final = ("pretrain", "sft")
_WITHOUT_REFERENCE: Final = ("simpo", "orpo")
_SMOOTHED: Final = ("sigmoid", "robust", "simpo")


def stages(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """What each stage needs, and nothing that belongs to another one."""
    spec = job.spec.training
    for name, (attribute, stage) in _SETTINGS.items():
        if getattr(spec, attribute) is not None and spec.stage != stage:
            yield error(
                Code.CONFLICT,
                f"training.{name}",
                f"belongs to training.stage {stage}, and the stage is {spec.stage}",
                f"Remove training.{name} or set training.stage to {stage}",
            )
    if spec.label_smoothing > 0 and spec.stage not in _LIKELIHOOD_STAGES:
        yield error(
            Code.CONFLICT,
            "training.labelSmoothing",
            f"spreads the target over all tokens, and training.stage {spec.stage} has no such target",
            "Remove it; for preferences that may be wrong use training.dpo.labelSmoothing",
            spec.label_smoothing,
        )
    yield from _task_type(job)
    match spec.stage:
        case "rm":
            yield from _reward_model(job)
        case "dpo" if spec.dpo is not None:
            yield from _dpo(spec.dpo)
        case "kto":
            yield from _kto(job)
        case "ppo":
            yield from _ppo(job, spec.ppo)
            if spec.ppo is not None:
                yield from _drawn_answers(job, "ppo", spec.ppo.sampling)
        case "grpo":
            yield from _grpo(job, spec.grpo)
            if spec.grpo is not None:
                yield from _drawn_answers(job, "grpo", spec.grpo.sampling)
        case _:
            pass


def _task_type(job: FineTuneJob) -> Iterator[Finding]:
    kind, stage = job.spec.method.lora.task_type, job.spec.training.stage
    if kind != "auto" and (kind == "sequenceClassification") != (stage == "rm"):
        yield error(
            Code.CONFLICT,
            "method.lora.taskType",
            f"does not suit training.stage {stage}: reward models classify sequences, others predict tokens",
            "Use auto",
            kind,
        )


def _reward_model(job: FineTuneJob) -> Iterator[Finding]:
    output, evaluation = job.spec.output, job.spec.evaluation
    asked = {
        "output.mergeAdapter": output.merge_adapter,
        "evaluation.generations": evaluation.generations,
        "evaluation.benchmarks": evaluation.benchmarks,
    }
    for path in (path for path, value in asked.items() if value):
        yield error(
            Code.CONFLICT,
            path,
            "needs a model that predicts tokens, and training.stage rm makes one that scores texts",
            f"Remove {path}",
        )


def _dpo(dpo: DpoSpec) -> Iterator[Finding]:
    if dpo.reference_model is not None and dpo.loss_type in _WITHOUT_REFERENCE:
        yield error(
            Code.CONFLICT,
            "training.dpo.referenceModel",
            f"is not used by training.dpo.lossType {dpo.loss_type}",
            "Remove it or use lossType sigmoid",
            dpo.reference_model,
        )
    if dpo.label_smoothing > 0 and dpo.loss_type not in _SMOOTHED:
        yield error(
            Code.CONFLICT,
            "training.dpo.labelSmoothing",
            f"is not a part of training.dpo.lossType {dpo.loss_type}",
            f"Remove it or use lossType {' or '.join(_SMOOTHED)}",
            dpo.label_smoothing,
        )
    if dpo.loss_type == "robust" and dpo.label_smoothing >= 0.5:
        yield error(
            Code.OUT_OF_RANGE,
            "training.dpo.labelSmoothing",
            "must be less than 0.5 for lossType robust, which divides by 1 - 2 × labelSmoothing",
            "Use a value under 0.5, such as 0.1",
            dpo.label_smoothing,
        )


def _kto(job: FineTuneJob) -> Iterator[Finding]:
    if job.spec.training.micro_batch_size == 1:
        yield error(
            Code.REQUIRES,
            "training.microBatchSize",
            "kto compares the records of one forward pass, and there is one in each",
            "Set training.microBatchSize to 2 or more",
            1,
        )


def _ppo(job: FineTuneJob, ppo: PpoSpec | None) -> Iterator[Finding]:
    if ppo is None:
        yield error(
            Code.REQUIRES,
            "training.ppo",
            "ppo needs a reward model, and none is named",
            "Set training.ppo.rewardModelId or training.ppo.rewardModelPath",
        )
    else:
        yield from exactly_one(ppo, "training.ppo", ("rewardModelId", "rewardModelPath"), "the reward model")
    if _effective_batch(job) == 1:
        yield error(
            Code.REQUIRES,
            "training.gradientAccumulationSteps",
            "ppo measures answers against the mean of those drawn together, and there is one in each step",
            "Raise training.gradientAccumulationSteps or training.microBatchSize",
            1,
        )


def _effective_batch(job: FineTuneJob) -> int:
    """Answers that all ranks draw for one optimizer step."""
    spec = job.spec
    ranks = spec.distributed.nodes * processes_per_node(spec)
    return spec.training.sequences_per_rank * ranks


def _drawn_answers(job: FineTuneJob, stage: str, sampling: SamplingSpec) -> Iterator[Finding]:
    """What learning from answers that the model draws itself needs."""
    spec, section = job.spec, f"training.{stage}.sampling"
    if spec.training.neftune_noise_alpha is not None:
        yield error(
            Code.CONFLICT,
            "training.neftuneNoiseAlpha",
            f"{stage} compares the model with the one that drew the answers, and noise in one of them alone "
            "would be taken for what was learned",
            "Remove it",
            spec.training.neftune_noise_alpha,
        )
    if sampling.temperature == 0:
        yield error(
            Code.OUT_OF_RANGE,
            f"{section}.temperature",
            f"{stage} learns from the difference between answers, and at 0 there is none",
            "Use a temperature such as 1.0",
            0.0,
        )
    if sampling.max_new_tokens >= spec.training.max_sequence_length:
        yield error(
            Code.CONFLICT,
            f"{section}.maxNewTokens",
            f"leaves no room for a prompt in training.maxSequenceLength {spec.training.max_sequence_length}",
            "Lower it, or raise training.maxSequenceLength",
            sampling.max_new_tokens,
        )
    if spec.distributed.stage_of_zero == 3:
        yield error(
            Code.CONFLICT,
            "distributed.zeroStage",
            f"{stage} draws answers while it trains, and stage 3 would gather every weight for each token",
            "Use distributed.zeroStage 2",
            3,
        )
    divergence = spec.failure_policy.divergence
    for name in ("lossIncreaseFactor", "spikeDeviations"):
        if divergence is not None and (value := value_at(divergence, name)) is not None:
            yield error(
                Code.CONFLICT,
                f"failurePolicy.divergence.{name}",
                f"judges a loss that falls towards 0, and that of {stage} is around 0 from the start",
                "Remove it",
                value,
            )


def _grpo(job: FineTuneJob, grpo: GrpoSpec | None) -> Iterator[Finding]:
    if grpo is None or not grpo.reward_functions:
        yield error(
            Code.REQUIRES,
            "training.grpo.rewardFunctions",
            "grpo needs a reward function, and none is named",
            "Name one in training.grpo.rewardFunctions",
        )
        return
    if grpo.reward_weights and len(grpo.reward_weights) != len(grpo.reward_functions):
        yield error(
            Code.CONFLICT,
            "training.grpo.rewardWeights",
            f"must have one weight for each of the {len(grpo.reward_functions)} reward functions",
            "Add or remove weights, or leave them out",
            [*grpo.reward_weights],
        )
    batch = _effective_batch(job)
    if batch % grpo.group_size:
        yield error(
            Code.CONFLICT,
            "training.grpo.groupSize",
            f"must divide the effective batch of {batch} (micro-batch × accumulation × ranks)",
            "Change training.grpo.groupSize or training.gradientAccumulationSteps",
            grpo.group_size,
        )
