"""`spec.distributed`: how many ranks, and how they share the model's states."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, WithJsonSchema

from finetune_api.base import AUTO, OR_AUTO, ApiModel, Integer

RawObject = Annotated[
    dict[str, JsonValue], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]
"""A JSON object that the API passes on unseen."""


class OffloadSpec(ApiModel):
    """What DeepSpeed keeps in host memory instead of the accelerator's."""

    optimizer: Literal["none", "cpu"] = Field(
        default="none", description="Where optimizer states live; cpu needs zeroStage 1 or more and adamw."
    )
    parameters: Literal["none", "cpu"] = Field(
        default="none", description="Where parameters live between uses; cpu needs zeroStage 3."
    )


class DistributedSpec(ApiModel):
    """Nodes, processes per node, and DeepSpeed's ZeRO."""

    nodes: Annotated[Integer, Field(ge=1, le=1024)] = Field(default=1, description="Number of pods.")
    processes_per_node: Annotated[Integer, Field(ge=1, le=64)] | None = Field(
        default=None, description="Ranks per pod; one per accelerator, else one, when absent."
    )
    engine: Literal["auto", "deepspeed", "torch"] = Field(
        default="auto",
        description="deepspeed: ZeRO. torch: plain data parallelism. auto: torch for a single rank at "
        "zeroStage 0 without offload or a raw configuration, else deepspeed.",
    )
    zero_stage: Annotated[Annotated[Integer, Field(ge=0, le=3)] | Literal["auto"], OR_AUTO] = Field(
        default=0,
        description="What the ranks share out among them. 0: nothing. 1: optimizer states. "
        "2: gradients too. 3: parameters too. auto: 0 for a single rank; else the fastest that surely fits, "
        "and 2 where accelerator or model are not known.",
    )
    offload: OffloadSpec = Field(
        default={}, validate_default=True, description="What is kept in host memory."
    )
    deepspeed_config: RawObject | None = Field(
        default=None,
        description="DeepSpeed configuration for experts, merged over ours. What this spec sets elsewhere "
        "(batch, accumulation, precision, optimizer) must not differ.",
    )
    backend: Literal["auto", "nccl", "gloo"] = Field(
        default="auto", description="Communication library; auto: nccl on GPUs, gloo on CPU."
    )
    timeout_seconds: Annotated[Integer, Field(ge=10, le=86400)] = Field(
        default=1800, description="Seconds that a rank waits for the others before the attempt fails."
    )

    @property
    def stage_of_zero(self) -> int:
        """The stage of ZeRO: 0 as long as `auto` is not decided."""
        return 0 if self.zero_stage == AUTO else self.zero_stage
