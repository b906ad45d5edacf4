"""The FineTuneJob API: models, status, wire formats and validation. It imports nothing else of ours.

Each name is imported when it is first used: a command that only validates does not pay for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_api.base import API_VERSION, GROUP, VERSION
    from finetune_api.conditions import Condition, ConditionType, Phase, Reason
    from finetune_api.job import FineTuneJob, FineTuneJobSpec, ObjectMeta
    from finetune_api.lineage import lineage_hash
    from finetune_api.protocol import FineTuneReport, ProgressReport, TrainerStatus
    from finetune_api.resolved import ResolvedJob, resolve
    from finetune_api.result import ExitCode, TrainingResult
    from finetune_api.status import AttemptStatus, FineTuneJobStatus
    from finetune_api.validation import Finding, InvalidJobError, check_manifest, parse_job, validate_job

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "AttemptStatus",
    "Condition",
    "ConditionType",
    "ExitCode",
    "Finding",
    "FineTuneJob",
    "FineTuneJobSpec",
    "FineTuneJobStatus",
    "FineTuneReport",
    "InvalidJobError",
    "ObjectMeta",
    "Phase",
    "ProgressReport",
    "Reason",
    "ResolvedJob",
    "TrainerStatus",
    "TrainingResult",
    "check_manifest",
    "lineage_hash",
    "parse_job",
    "resolve",
    "validate_job",
]

_MODULES = {
    "base": ("API_VERSION", "GROUP", "VERSION"),
    "conditions": ("Condition", "ConditionType", "Phase", "Reason"),
    "job": ("FineTuneJob", "FineTuneJobSpec", "ObjectMeta"),
    "lineage": ("lineage_hash",),
    "protocol": ("FineTuneReport", "ProgressReport", "TrainerStatus"),
    "resolved": ("ResolvedJob", "resolve"),
    "result": ("ExitCode", "TrainingResult"),
    "status": ("AttemptStatus", "FineTuneJobStatus"),
    "validation": ("Finding", "InvalidJobError", "check_manifest", "parse_job", "validate_job"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
