"""What the validator says: a code, a field path, the value, the rule, and the way out."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, JsonValue

from finetune_api.base import ApiModel
from finetune_api.printable import printable
from finetune_api.rule import Rule
from finetune_api.validation.codes import Code

Severity = Literal["error", "warning", "suggestion"]


class Finding(ApiModel):
    """One thing that is wrong with a job (error), risky (warning), or could be better (suggestion)."""

    severity: Severity = Field(description="error: the job can't run. warning: it may go wrong. suggestion.")
    code: str = Field(description="Stable code of the rule; see the reference of findings.")
    path: str = Field(description="Field, as written in the manifest below spec: training.microBatchSize.")
    value: JsonValue = Field(default=None, description="Value that was found; secrets are never shown.")
    message: str = Field(description="The rule, and how the value breaks it.")
    remedy: str = Field(description="What to change.")

    def for_machines(self) -> dict[str, JsonValue]:
        """Stable output for programs: code, path, value, message and remedy, always all five.

        The severity is not among them: reports group findings by it.
        """
        return {
            "code": self.code,
            "path": self.path,
            "value": self.value,
            "message": self.message,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        shown = "" if value is None or isinstance(value, dict | list) else f" {value}"
        end = "" if self.remedy.endswith("?") else "."
        where = f"{self.path}:{shown} " if self.path else ""
        return printable(f"{where}{self.message}. {self.remedy}{end}")


class InvalidJobError(ValueError):
    """A manifest that is not a valid FineTuneJob; `findings` says why, each with path and remedy."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = list(findings)


def error(code: Code, path: str, message: str, remedy: str, value: JsonValue = None) -> Finding:
    """A finding that refuses the job."""
    return Finding(severity="error", code=code.value, path=path, value=value, message=message, remedy=remedy)


def warning(code: Code, path: str, message: str, remedy: str, value: JsonValue = None) -> Finding:
    """A finding about something that may go wrong."""
    return Finding(
        severity="warning", code=code.value, path=path, value=value, message=message, remedy=remedy
    )


def suggestion(code: Code, path: str, message: str, remedy: str, value: JsonValue = None) -> Finding:
    """A finding about something that could be better."""
    return Finding(
        severity="suggestion", code=code.value, path=path, value=value, message=message, remedy=remedy
    )


def broken(
    code: Code,
    rule: Rule,
    value: JsonValue = None,
    *,
    where: str = "",
    words: Mapping[str, str] | None = None,
) -> Finding:
    """A finding that refuses the job in the words in which the API server does.

    `where` is the path of the object that breaks the rule (the spec when empty), `words` what the rule's
    detail asks for.
    """
    return error(code, rule.at(where), rule.says(**words or {}), rule.remedy, value)


def errors_in(findings: Sequence[Finding]) -> list[Finding]:
    """Those findings that refuse the job."""
    return [finding for finding in findings if finding.severity == "error"]
