"""What `finetune init` writes for an accelerator: values that suit it, and what they lead to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.estimate import GIB, Estimate, UnknownArchitectureError, suggested
from finetune_api.estimate.estimate import on_devices
from finetune_api.hardware import HardwareCatalog
from finetune_api.validation import check_manifest
from finetune_cli.errors import CommandError
from finetune_cli.estimates import EstimateError, chosen_accelerator


@dataclass(frozen=True)
class Suggestion:
    """Values for a new job by field path, with the estimate of the job that has them."""

    accelerator: str
    values: Mapping[str, Any]
    estimate: Estimate

    @property
    def text(self) -> str:
        """What the values are for, in a line."""
        found = self.estimate
        return (
            f"What suits {found.setup.ranks} × {found.accelerator.title}: about "
            f"{found.memory.expected / GIB:.1f} of {found.accelerator.memory_gib:.1f} GiB per device."
        )

    def sections(self) -> dict[str, dict[str, str]]:
        """The values as text, by section and field; those of `model` left out, whose section is there."""
        found: dict[str, dict[str, str]] = {}
        for path, value in self.values.items():
            section, _, name = path.partition(".")
            if section != "model":
                found.setdefault(section, {})[name] = str(value)
        return found


def suiting_values(body: Mapping[str, Any], accelerator: str) -> Suggestion:
    """Values for the job of a manifest on that accelerator. Raises `CommandError`."""
    job, findings = check_manifest(body)
    if job is None:
        raise CommandError(str(findings[0]))
    try:
        chosen = chosen_accelerator(job, accelerator, HardwareCatalog())
        found = suggested(on_devices(job, chosen, job.spec.resources.accelerators.per_node), chosen)
    except UnknownArchitectureError as error:
        raise CommandError(f"{error} Without --accelerator, nothing has to be known of it.") from None
    except EstimateError as error:
        raise CommandError(str(error)) from None
    if found is None:
        raise CommandError(
            f"{job.spec.model.id}: nothing that was tried fits on {chosen.title}. Use a smaller model, a "
            "larger device (`finetune hardware`), or more of them with --gpus"
        )
    return Suggestion(chosen.name, *found)
