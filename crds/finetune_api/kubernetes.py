"""The few Kubernetes types that a job's spec uses, with Kubernetes' own field names and meaning."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_api.base import (
    DNS_LABEL_PATTERN,
    ApiModel,
    DnsLabel,
    DnsSubdomain,
    Integer,
    LabelKey,
    LabelMap,
    LabelValue,
    ObjectKey,
    cel_rules,
)
from finetune_api.rule import Rule, exactly_one

ENV_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

VALUE_OR_SOURCE = Rule(
    "!(has(self.value) && has(self.valueFrom))",
    value="self.name",
    message="has both value and valueFrom",
    remedy="Remove one of them",
)

VOLUME_SOURCES = ("claimName", "configMap", "secret")

ONE_VOLUME_SOURCE = exactly_one("a volume", VOLUME_SOURCES)


class SecretKeyRef(ApiModel):
    """One key of a Secret in the job's namespace. Its value reaches the pod, never the status or a log."""

    name: DnsSubdomain = Field(description="Name of the Secret, in the job's namespace.")
    key: ObjectKey = Field(description="Key within the Secret that holds the value.")


class ConfigMapKeyRef(ApiModel):
    """One key of a ConfigMap in the job's namespace."""

    name: DnsSubdomain = Field(description="Name of the ConfigMap, in the job's namespace.")
    key: ObjectKey = Field(description="Key within the ConfigMap that holds the value.")


class LocalObjectRef(ApiModel):
    """An object in the job's namespace."""

    name: DnsSubdomain = Field(description="Name of the object, in the job's namespace.")


class EnvVarSource(ApiModel):
    """Where an environment variable's value comes from."""

    secret_key_ref: SecretKeyRef = Field(description="The key of a Secret that holds the value.")


class EnvVar(ApiModel):
    """An environment variable of the trainer's container."""

    model_config = ConfigDict(json_schema_extra=cel_rules(VALUE_OR_SOURCE.in_cel()))

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=ENV_NAME_PATTERN)] = Field(
        description="Name of the variable: letters, digits and _, not starting with a digit."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="Value, taken literally: $(NAME) is not expanded."
    )
    value_from: EnvVarSource | None = Field(
        default=None, description="Takes the value from a Secret instead of writing it into the manifest."
    )


class Volume(ApiModel):
    """A volume of the user's that is mounted into every pod of the job."""

    model_config = ConfigDict(json_schema_extra=cel_rules(ONE_VOLUME_SOURCE.in_cel()))

    name: Annotated[str, Field(min_length=1, max_length=50, pattern=DNS_LABEL_PATTERN)] = Field(
        description="Name of the volume; each may appear once in a job."
    )
    mount_path: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Absolute path in the container. The product's own paths (/etc/finetune, "
        "/var/run/secrets/finetune, /finetune, /tmp, /dev) can't be used."
    )
    claim_name: DnsSubdomain | None = Field(
        default=None, description="Name of a PersistentVolumeClaim in the job's namespace."
    )
    config_map: DnsSubdomain | None = Field(
        default=None, description="Name of a ConfigMap; each key becomes a file."
    )
    secret: DnsSubdomain | None = Field(
        default=None, description="Name of a Secret; each key becomes a file."
    )
    sub_path: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Mounts only this relative path of the volume."
    )
    read_only: bool = Field(default=True, description="Whether the mount refuses writes.")


class Toleration(ApiModel):
    """Lets the pods run on nodes with a matching taint."""

    key: LabelKey | None = Field(
        default=None, description="Key of the taint; without one every key matches (operator Exists only)."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="Equal compares the value too; Exists only asks for the key."
    )
    value: LabelValue | None = Field(default=None, description="Value of the taint, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; without one every effect matches."
    )
    toleration_seconds: Annotated[Integer, Field(ge=0, le=2_592_000)] | None = Field(
        default=None, description="Seconds that a NoExecute taint is tolerated; without a value, for ever."
    )


class LabelRequirement(ApiModel):
    """A condition on one label."""

    key: LabelKey = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="How the label's value is compared; Gt and Lt exist for nodes only."
    )
    values: Annotated[list[LabelValue], Field(max_length=64)] | None = Field(
        default=None, description="Values for In and NotIn; exactly one integer for Gt and Lt."
    )


class NodeSelectorTerm(ApiModel):
    """A set of conditions on a node, all of which must hold."""

    match_expressions: Annotated[list[LabelRequirement], Field(max_length=16)] | None = Field(
        default=None, description="Conditions on the node's labels."
    )
    match_fields: Annotated[list[LabelRequirement], Field(max_length=16)] | None = Field(
        default=None, description="Conditions on the node's fields; only metadata.name is known."
    )


class NodeSelectorChoice(ApiModel):
    """Terms of which at least one must match."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=16)] = Field(
        description="Terms; a node that matches one of them will do."
    )


class PreferredNode(ApiModel):
    """A preference for some nodes."""

    weight: Annotated[Integer, Field(ge=1, le=100)] = Field(description="Weight of the preference, 1 to 100.")
    preference: NodeSelectorTerm = Field(description="Which nodes are preferred.")


class NodeAffinity(ApiModel):
    """Which nodes the pods need or prefer."""

    required_during_scheduling_ignored_during_execution: NodeSelectorChoice | None = Field(
        default=None, description="Nodes that the pods need."
    )
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredNode], Field(max_length=16)] | None
    ) = Field(default=None, description="Nodes that the pods prefer.")


class LabelSelector(ApiModel):
    """Selects objects by label."""

    match_labels: LabelMap | None = Field(default=None, description="Labels that must have these values.")
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=16)] | None = Field(
        default=None, description="Conditions that must all hold."
    )


class PodAffinityTerm(ApiModel):
    """Pods that ours should be near to, or far from."""

    topology_key: LabelKey = Field(
        description="Node label that says what is near: kubernetes.io/hostname, "
        "topology.kubernetes.io/zone, …"
    )
    label_selector: LabelSelector | None = Field(default=None, description="Which pods are meant.")
    namespaces: Annotated[list[DnsLabel], Field(max_length=16)] | None = Field(
        default=None, description="Namespaces of those pods; the job's own when absent."
    )
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Namespaces of those pods, by label."
    )


class PreferredPods(ApiModel):
    """A preference for the neighbourhood of some pods."""

    weight: Annotated[Integer, Field(ge=1, le=100)] = Field(description="Weight of the preference, 1 to 100.")
    pod_affinity_term: PodAffinityTerm = Field(description="Which pods, and what near means.")


class PodAffinity(ApiModel):
    """Which pods ours need or prefer as neighbours (or, as anti-affinity, avoid)."""

    required_during_scheduling_ignored_during_execution: (
        Annotated[list[PodAffinityTerm], Field(max_length=16)] | None
    ) = Field(default=None, description="What must hold.")
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredPods], Field(max_length=16)] | None
    ) = Field(default=None, description="What is preferred.")


class Affinity(ApiModel):
    """Kubernetes affinity, passed to the pods as it is."""

    node_affinity: NodeAffinity | None = Field(default=None, description="Needed and preferred nodes.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Pods to be near to.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Pods to be far from.")
