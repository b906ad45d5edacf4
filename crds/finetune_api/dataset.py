"""`spec.dataset`: what is learned from, and how records become tokens."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_api.base import (
    ApiModel,
    DnsSubdomain,
    FilePath,
    HubId,
    Integer,
    ShortText,
    Url,
    cel_rules,
)
from finetune_api.kubernetes import ConfigMapKeyRef, SecretKeyRef
from finetune_api.model import Revision
from finetune_api.rule import exactly_one

SOURCES = ("path", "pvc", "configMap", "hub", "http", "s3", "upload")

ONE_SOURCE = exactly_one("data", SOURCES)


class PvcSource(ApiModel):
    """A file or directory in a PersistentVolumeClaim."""

    claim_name: DnsSubdomain = Field(
        description="PersistentVolumeClaim in the job's namespace; mounted read-only."
    )
    path: FilePath = Field(description="File or directory within the volume, relative to its root.")


class HubSource(ApiModel):
    """A data set on the Hugging Face hub."""

    id: HubId = Field(description="Data set's id on the hub.")
    config: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="Configuration (subset) of the data set, where it has several."
    )
    split: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        default="train", description="Split, also a slice such as train[:1000]."
    )
    revision: Revision | None = Field(
        default=None, description="Branch, tag or commit on the hub; main when absent."
    )
    token_secret: SecretKeyRef | None = Field(
        default=None, description="Access token for private data sets; model.tokenSecret when absent."
    )


class HttpSource(ApiModel):
    """A file behind an HTTP(S) address."""

    url: Annotated[Url, Field(pattern=r"^https?://")] = Field(description="Address of the file.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="SHA-256 of the file, in hexadecimal; checked after the download."
    )
    token_secret: SecretKeyRef | None = Field(
        default=None, description="Token sent as `Authorization: Bearer`."
    )


class S3Source(ApiModel):
    """An object or a prefix in an S3-compatible store."""

    uri: Annotated[Url, Field(pattern=r"^s3://[^/]+/.+")] = Field(
        description="Object or prefix: s3://bucket/key."
    )
    endpoint: Annotated[Url, Field(pattern=r"^https?://")] | None = Field(
        default=None, description="Address of the store; the one of the cloud provider when absent."
    )
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Region of the bucket."
    )
    access_key_secret: SecretKeyRef | None = Field(
        default=None, description="Access key id; the pod's own identity when absent."
    )
    secret_key_secret: SecretKeyRef | None = Field(default=None, description="Secret access key.")
    anonymous: bool = Field(
        default=False, description="Whether the store is asked without any identity, for public buckets."
    )


class UploadSource(ApiModel):
    """A file that was uploaded through the console or its REST API."""

    id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")] = Field(
        description="Id that the upload returned."
    )


class DataSource(ApiModel):
    """Where records come from: exactly one of the fields."""

    model_config = ConfigDict(json_schema_extra=cel_rules(ONE_SOURCE.in_cel()))

    path: FilePath | None = Field(
        default=None,
        description="Absolute path of a file or directory inside a volume of resources.volumes "
        "(or a local path for `finetune run`).",
    )
    pvc: PvcSource | None = Field(default=None, description="File in a PersistentVolumeClaim.")
    config_map: ConfigMapKeyRef | None = Field(
        default=None, description="Key of a ConfigMap; for small data sets, up to 1 MiB."
    )
    hub: HubSource | None = Field(default=None, description="Data set on the Hugging Face hub.")
    http: HttpSource | None = Field(default=None, description="File behind an HTTP(S) address.")
    s3: S3Source | None = Field(default=None, description="Object in an S3-compatible store.")
    upload: UploadSource | None = Field(default=None, description="File uploaded through the console.")


class ColumnsSpec(ApiModel):
    """Columns (or JSON keys) that hold each part of a record; the format's own names when absent."""

    instruction: ShortText | None = Field(default=None, description="The task, for alpaca and csv.")
    input: ShortText | None = Field(
        default=None, description="Further input for the task, or the prompt of a csv."
    )
    output: ShortText | None = Field(default=None, description="The expected answer.")
    system: ShortText | None = Field(default=None, description="System prompt.")
    history: ShortText | None = Field(
        default=None, description="Earlier turns, as pairs of prompt and answer."
    )
    text: ShortText | None = Field(default=None, description="Plain text, for the text format.")
    messages: ShortText | None = Field(default=None, description="List of messages or turns.")
    prompt: ShortText | None = Field(default=None, description="Prompt, for promptCompletion and preference.")
    prompt_template: Annotated[str, Field(min_length=1, max_length=16384)] | None = Field(
        default=None,
        description="Prompt of the custom format, with {column} for its values; {{ and }} are braces.",
    )
    completion: ShortText | None = Field(default=None, description="Completion, for promptCompletion.")
    chosen: ShortText | None = Field(default=None, description="Preferred answer, for preference.")
    rejected: ShortText | None = Field(
        default=None, description="Answer that was not preferred, for preference."
    )
    label: ShortText | None = Field(default=None, description="Whether the completion is desired, for kto.")
    tools: ShortText | None = Field(default=None, description="Tools that the model may call.")
    role: ShortText | None = Field(default=None, description="Key of the role within a message.")
    content: ShortText | None = Field(default=None, description="Key of the text within a message.")
    length: ShortText | None = Field(
        default=None, description="Length of the record in tokens, for sampling: groupByLength."
    )


class PreprocessingSpec(ApiModel):
    """How a record becomes tokens."""

    add_eos_token: bool = Field(
        default=True,
        description="Whether the end token closes what is learned, where the template has none.",
    )
    add_bos_token: bool = Field(
        default=False, description="Whether a start token is put in front where the template has none."
    )
    use_chat_template: bool = Field(
        default=True, description="Whether conversations are rendered through the chat template."
    )
    system_prompt: Annotated[str, Field(min_length=1, max_length=16384)] | None = Field(
        default=None, description="System prompt for records that have none."
    )
    supervise: Literal["auto", "answers", "lastAnswer", "all"] = Field(
        default="auto",
        description="Which tokens the loss counts: every answer, only the last one, or all tokens. "
        "auto: answers for sft, all for pretrain.",
    )
    overlong: Literal["truncate", "drop", "fail"] = Field(
        default="truncate",
        description="What happens to records longer than training.maxSequenceLength.",
    )
    workers: Annotated[Integer, Field(ge=1, le=256)] | None = Field(
        default=None, description="Processes that tokenise; as many as the trainer sees fit when absent."
    )


class DatasetSpec(ApiModel):
    """The data: source, format, and how records become tokens."""

    format: Literal[
        "alpaca",
        "sharegpt",
        "oasst",
        "messages",
        "csv",
        "text",
        "preference",
        "promptCompletion",
        "custom",
    ] = Field(
        default="alpaca",
        description="Shape of a record. alpaca: instruction, input, output. messages: a list of role and "
        "content. sharegpt: conversations of from and value. oasst: message trees. csv: columns input and "
        "output. text: plain text. promptCompletion: prompt and completion. preference: chosen and "
        "rejected. custom: whatever columns says.",
    )
    train: DataSource = Field(description="Training data.")
    eval: DataSource | None = Field(default=None, description="Evaluation data.")
    eval_split: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of the training data that is held out for evaluation, 0 for none."
    )
    columns: ColumnsSpec = Field(
        default={},
        validate_default=True,
        description="Column names, where they differ from the format's own.",
    )
    preprocessing: PreprocessingSpec = Field(
        default={}, validate_default=True, description="How a record becomes tokens."
    )
    packing: bool = Field(
        default=False, description="Whether several records share one sequence, without seeing one another."
    )
    streaming: bool = Field(
        default=False,
        description="Whether data goes to disk as it is tokenised, so that it may be larger than memory.",
    )
    max_samples: Annotated[Integer, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None, description="Uses only the first records; for trying out."
    )
