"""`spec.resources`: what each pod gets, and where it may run."""

from typing import Annotated, Final, Literal

from pydantic import Field

from finetune_api.base import (
    DNS_SUBDOMAIN_PATTERN,
    ApiModel,
    DnsLabel,
    DnsSubdomain,
    Integer,
    LabelMap,
    Quantity,
    keyed_by,
)
from finetune_api.kubernetes import Affinity, EnvVar, LocalObjectRef, Toleration, Volume

RESOURCE_NAME_PATTERN: Final = (
    DNS_SUBDOMAIN_PATTERN.removesuffix("$") + r"/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)


class AcceleratorSpec(ApiModel):
    """Accelerators of each pod."""

    resource_name: Annotated[
        str,
        Field(
            min_length=3,
            max_length=128,
            pattern=DNS_SUBDOMAIN_PATTERN.removesuffix("$")
            + r"/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        ),
    ] = Field(default="nvidia.com/gpu", description="Extended resource that stands for one accelerator.")
    per_node: Annotated[Integer, Field(ge=0, le=64)] = Field(
        default=0, description="Accelerators per pod; 0 trains on the CPU."
    )
    type: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None,
        description="Accelerator that is meant, by its name in the hardware catalog; for estimates. "
        "Choose nodes with nodeSelector.",
    )


class ResourcesSpec(ApiModel):
    """Devices, memory, image, environment, volumes and scheduling of the pods."""

    provider: Literal["cluster", "local", "runpod", "lambda", "vast"] = Field(
        default="cluster",
        description="Where the job runs: this cluster, this machine, or a cloud provider's machine.",
    )
    accelerators: AcceleratorSpec = Field(
        default={}, validate_default=True, description="Accelerators of each pod."
    )
    cpu: Quantity = Field(default="2", description="CPU cores that each pod requests.")
    memory: Quantity = Field(default="8Gi", description="Memory of each pod: both its request and its limit.")
    shared_memory: Quantity = Field(
        default="1Gi", description="Size of /dev/shm in each pod; counts as its memory."
    )
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")] | None = Field(
        default=None, description="Trainer image; the operator's default when absent."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the node pulls the image."
    )
    image_pull_secrets: Annotated[list[LocalObjectRef], *keyed_by("name"), Field(max_length=16)] = Field(
        default=[], description="Secrets with credentials for the image's registry."
    )
    command: (
        Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=64)] | None
    ) = Field(
        default=None,
        description="Program and arguments that run instead of the trainer, such as a script of your own "
        "built on transformers, which reports its progress by itself. No shell reads them.",
    )
    env: Annotated[list[EnvVar], *keyed_by("name"), Field(max_length=64)] = Field(
        default=[], description="Environment variables of the trainer."
    )
    volumes: Annotated[list[Volume], *keyed_by("name"), Field(max_length=32)] = Field(
        default=[], description="Volumes mounted into every pod."
    )
    node_selector: LabelMap = Field(default={}, description="Labels that a node must have.")
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(
        default=[], description="Taints that the pods accept."
    )
    affinity: Affinity | None = Field(
        default=None, description="Nodes and pods that the pods need, prefer or avoid."
    )
    priority_class_name: DnsSubdomain | None = Field(default=None, description="PriorityClass of the pods.")
    queue_name: DnsLabel | None = Field(default=None, description="Kueue's LocalQueue that admits the job.")
    service_account_name: DnsSubdomain | None = Field(
        default=None,
        description="ServiceAccount of the pods; default when absent. It needs no rights for us.",
    )
    scheduler_name: DnsSubdomain | None = Field(
        default=None, description="Scheduler that places the pods; the cluster's own when absent."
    )
    runtime_class_name: DnsSubdomain | None = Field(default=None, description="RuntimeClass of the pods.")
