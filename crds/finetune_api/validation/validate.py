"""`validate_job`: every rule, in the order of the spec's sections."""

from collections.abc import Callable, Iterator
from typing import Final, Literal

from finetune_api.job import FineTuneJob
from finetune_api.validation.capabilities import unsupported
from finetune_api.validation.findings import Finding
from finetune_api.validation.rules.batching import batching
from finetune_api.validation.rules.dataset import dataset
from finetune_api.validation.rules.devices import devices
from finetune_api.validation.rules.distributed import distributed
from finetune_api.validation.rules.effect import effect
from finetune_api.validation.rules.estimate import memory_fit
from finetune_api.validation.rules.evaluation import evaluation
from finetune_api.validation.rules.failure_policy import failure_policy
from finetune_api.validation.rules.metadata import metadata
from finetune_api.validation.rules.method import method
from finetune_api.validation.rules.model import model
from finetune_api.validation.rules.optimizers import optimizers
from finetune_api.validation.rules.quantization import quantization
from finetune_api.validation.rules.reach import reach
from finetune_api.validation.rules.resources import resources
from finetune_api.validation.rules.schedule import schedule
from finetune_api.validation.rules.selection import selection
from finetune_api.validation.rules.size import size
from finetune_api.validation.rules.stability import stability
from finetune_api.validation.rules.stages import stages
from finetune_api.validation.rules.storage import storage
from finetune_api.validation.rules.tracking import tracking
from finetune_api.validation.rules.training import training

Target = Literal["cluster", "local"]
"""Where the job is to run: as pods, or by `finetune run` on this machine."""

Rules = Callable[[FineTuneJob, Target], Iterator[Finding]]

SECTIONS: Final[tuple[Rules, ...]] = (
    metadata,
    model,
    method,
    quantization,
    reach,
    dataset,
    training,
    optimizers,
    schedule,
    stability,
    stages,
    batching,
    devices,
    selection,
    distributed,
    resources,
    storage,
    evaluation,
    tracking,
    failure_policy,
    size,
    effect,
)

_ORDER: Final = {"error": 0, "warning": 1, "suggestion": 2}


def validate_job(
    job: FineTuneJob, target: Target = "cluster", *, memory_rule: Rules = memory_fit
) -> list[Finding]:
    """Every finding about a job whose form is right, errors first. Pure: no clock, no network, no files.

    A job may run if none of the findings is an error. `memory_rule` judges whether it fits: by the catalog,
    unless somebody knows the devices better.
    """
    every_rule = (*SECTIONS, memory_rule, unsupported)
    findings = [finding for rules in every_rule for finding in rules(job, target)]
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])
