"""`spec.model`: what is trained, and how it is loaded."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from finetune_api.base import (
    ApiModel,
    DnsSubdomain,
    FilePath,
    FloatType,
    HubId,
    Integer,
    cel_rules,
)
from finetune_api.kubernetes import SecretKeyRef
from finetune_api.rule import Rule, one_at_most

Revision = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_./-]+$")]


ChatTemplateName = Literal[
    "chatml",
    "plain",
    "llama2",
    "llama3",
    "mistral",
    "gemma",
    "phi3",
    "phi4",
    "qwen",
    "alpaca",
    "vicuna",
    "zephyr",
]


class ArchitectureSpec(ApiModel):
    """The architecture of a model that is trained from scratch."""

    architecture: Literal[
        "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "gpt2"
    ] = Field(default="llama", description="Family of the decoder, by its name in transformers.")
    hidden_size: Annotated[Integer, Field(ge=8, le=65536)] = Field(
        default=768, description="Width of the residual stream, in channels."
    )
    layers: Annotated[Integer, Field(ge=1, le=512)] = Field(
        default=12, description="Number of transformer layers."
    )
    attention_heads: Annotated[Integer, Field(ge=1, le=512)] = Field(
        default=12, description="Query heads per layer; must divide hiddenSize unless headDimension is set."
    )
    key_value_heads: Annotated[Integer, Field(ge=1, le=512)] | None = Field(
        default=None,
        description="Key and value heads per layer (grouped-query attention); must divide attentionHeads. "
        "As many as attentionHeads when absent.",
    )
    head_dimension: Annotated[Integer, Field(ge=2, le=1024)] | None = Field(
        default=None, description="Channels per head; hiddenSize / attentionHeads when absent."
    )
    intermediate_size: Annotated[Integer, Field(ge=8, le=262144)] | None = Field(
        default=None, description="Width of the feed-forward layer, in channels; 4 × hiddenSize when absent."
    )
    experts: Annotated[Integer, Field(ge=2, le=256)] | None = Field(
        default=None,
        description="Feed-forward blocks per layer, for mixtral, of which a token passes some; 8 if absent.",
    )
    experts_per_token: Annotated[Integer, Field(ge=1, le=256)] | None = Field(
        default=None, description="Experts that each token passes, for mixtral; 2 when absent."
    )
    max_position_embeddings: Annotated[Integer, Field(ge=8, le=2_097_152)] = Field(
        default=2048, description="Longest sequence that the model can read, in tokens."
    )
    vocab_size: Annotated[Integer, Field(ge=16, le=1_048_576)] | None = Field(
        default=None,
        description="Number of tokens that the model knows; the tokenizer's size when absent.",
    )
    tie_word_embeddings: bool = Field(
        default=True, description="Whether the input and the output embedding share their weights."
    )
    rope_theta: Annotated[float, Field(gt=0, le=1e9)] = Field(
        default=10000.0, description="Base of the rotary position embedding."
    )
    norm_epsilon: Annotated[float, Field(gt=0, le=0.1)] = Field(
        default=1e-5, description="Epsilon of the normalisation layers."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout in attention (and, where the family has it, elsewhere)."
    )
    initializer_range: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.02, description="Standard deviation of the initial weights."
    )

    @property
    def has_experts(self) -> bool:
        """Whether each token passes some of several feed-forward blocks."""
        return self.architecture == "mixtral"

    @property
    def expert_count(self) -> int:
        """Feed-forward blocks per layer."""
        return (self.experts or 8) if self.has_experts else 1

    @property
    def active_experts(self) -> int:
        """Feed-forward blocks that each token passes."""
        return (self.experts_per_token or 2) if self.has_experts else 1


class TokenizerTrainSpec(ApiModel):
    """Trains a byte-level BPE tokenizer on the training text, before the model."""

    vocab_size: Annotated[Integer, Field(ge=260, le=1_048_576)] = Field(
        default=32000, description="Number of tokens, special ones included."
    )
    split_digits: bool = Field(
        default=True, description="Whether each digit is a token of its own, which helps with numbers."
    )
    min_frequency: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(
        default=2, description="How often a pair must occur to be merged."
    )


ONE_TOKENIZER = one_at_most("a tokenizer", ("id", "path", "train"))

ONE_CHAT_TEMPLATE = Rule(
    "!(has(self.chatTemplate) && has(self.chatTemplateName))",
    path="chatTemplate",
    message="the chat template is given as text and by name",
    remedy="Remove chatTemplate or chatTemplateName",
)


class TokenizerSpec(ApiModel):
    """The tokenizer, where it is not the model's own."""

    model_config = ConfigDict(json_schema_extra=cel_rules(ONE_TOKENIZER.in_cel(), ONE_CHAT_TEMPLATE.in_cel()))

    id: HubId | None = Field(default=None, description="Tokenizer's id on the Hugging Face hub.")
    revision: Revision | None = Field(
        default=None, description="Branch, tag or commit of the tokenizer on the hub; main when absent."
    )
    path: FilePath | None = Field(default=None, description="Directory that holds the tokenizer's files.")
    train: TokenizerTrainSpec | None = Field(
        default=None, description="Trains a new tokenizer; for models from scratch."
    )
    chat_template: Annotated[str, Field(min_length=1, max_length=32768)] | None = Field(
        default=None, description="Jinja chat template that replaces the tokenizer's own."
    )
    chat_template_name: ChatTemplateName | None = Field(
        default=None,
        description="Built-in chat template, by the models that were trained with it. chatml: with the "
        "tokenizer's own end token. plain: the text of the turns and nothing else.",
    )
    padding_side: Literal["auto", "left", "right"] = Field(
        default="auto",
        description="Side on which the tokenizer of the result pads batches; auto: right. Training pads on "
        "the right and drawing answers on the left, whatever it is: no token sees padding.",
    )


class ModelCacheSpec(ApiModel):
    """A volume that keeps downloaded models and data sets, so that the next attempt or job finds them."""

    claim_name: DnsSubdomain = Field(description="PersistentVolumeClaim that holds the cache.")
    sub_path: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Relative directory within the volume."
    )


class ModelSpec(ApiModel):
    """The model: from the hub, from a directory, or from scratch."""

    id: HubId | None = Field(default=None, description="Model id on the Hugging Face hub: organisation/name.")
    revision: Revision | None = Field(
        default=None, description="Branch, tag or commit on the hub, for model.id; main when absent."
    )
    path: FilePath | None = Field(
        default=None,
        description="Directory with the model's files, inside a volume of resources.volumes "
        "(or a local directory for `finetune run`).",
    )
    config: ArchitectureSpec | None = Field(
        default=None, description="Architecture of a new model, whose weights start at random."
    )
    tokenizer: TokenizerSpec = Field(
        default_factory=TokenizerSpec, description="Tokenizer; the model's own when nothing is set."
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Whether Python code from the model's repository may run. It runs as the trainer.",
    )
    load_precision: FloatType = Field(
        default="auto",
        description="Type in which the weights are loaded. auto: fp32 where they are trained, "
        "else the type of training.precision.",
    )
    attention: Literal[
        "auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"
    ] = Field(default="auto", description="Attention implementation, by its name in transformers.")
    kernels: Literal["none", "auto", "liger", "unsloth"] = Field(
        default="none", description="Fused kernels that replace parts of the model; auto takes what is there."
    )
    upcast_layer_norm: bool = Field(
        default=False, description="Whether normalisation layers are kept in fp32, for stability."
    )
    cache: ModelCacheSpec | None = Field(
        default=None, description="Volume that keeps downloads; each pod downloads anew when absent."
    )
    token_secret: SecretKeyRef | None = Field(
        default=None, description="Access token for the Hugging Face hub, for gated and private models."
    )
