"""The one validator: errors, warnings and suggestions, the same words for every user of the API."""

from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, InvalidJobError, Severity, errors_in
from finetune_api.validation.parsing import check_manifest, parse_job
from finetune_api.validation.validate import Target, validate_job

__all__ = [
    "Code",
    "Finding",
    "InvalidJobError",
    "Severity",
    "Target",
    "check_manifest",
    "errors_in",
    "parse_job",
    "validate_job",
]
