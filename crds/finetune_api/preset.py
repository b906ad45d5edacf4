"""FineTunePreset: named values that jobs start from."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, ShortText
from finetune_api.distributed import RawObject
from finetune_api.job import ObjectMeta


class FineTunePresetSpec(ApiModel):
    """What a preset is for, and the values that it gives."""

    title: ShortText = Field(description="What the preset is for, in a few words.")
    description: Annotated[str, Field(max_length=4096)] = Field(
        default="", description="When to use it, and what it trades for what."
    )
    values: RawObject = Field(
        description="Any part of a job's spec; a job that names the preset starts from these values."
    )
    """A JSON object, and not a spec: what is absent here must stay absent, instead of becoming a default."""


class FineTunePreset(ApiModel):
    """FineTunePreset holds values that a FineTuneJob can start from, by naming it in spec.preset."""

    api_version: Literal["finetune.dev/v1alpha1"] = Field(
        default="finetune.dev/v1alpha1", description="Version of the API."
    )
    kind: Literal["FineTunePreset"] = Field(default="FineTunePreset", description="Kind of the object.")
    metadata: ObjectMeta = Field(default={}, validate_default=True, description="Kubernetes object metadata.")
    spec: FineTunePresetSpec = Field(description="What the preset is for, and the values that it gives.")
