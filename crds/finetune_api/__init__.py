"""The FineTuneJob API: models, status, wire formats and validation. It imports nothing else of ours."""

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
