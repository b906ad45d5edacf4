"""Settings of the training stages that learn from preferences or rewards; names follow TRL."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, FilePath, HubId, Integer


class DpoSpec(ApiModel):
    """Direct preference optimization."""

    beta: Annotated[float, Field(gt=0, le=100)] = Field(
        default=0.1, description="How strongly the model is held to the reference."
    )
    loss_type: Literal["sigmoid", "hinge", "ipo", "robust", "bcoPair", "simpo", "orpo"] = Field(
        default="sigmoid", description="Form of the loss."
    )
    label_smoothing: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0, description="Share of preferences that are assumed to be wrong."
    )
    sft_weight: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0, description="Weight of the likelihood of the chosen answer, added to the loss."
    )
    reference_model: HubId | None = Field(
        default=None, description="Reference model on the hub; the model as it started when absent."
    )


class KtoSpec(ApiModel):
    """Kahneman-Tversky optimization: answers marked as desired or not."""

    beta: Annotated[float, Field(gt=0, le=100)] = Field(
        default=0.1, description="How strongly the model is held to the reference."
    )
    desirable_weight: Annotated[float, Field(ge=0, le=100)] = Field(
        default=1.0, description="Weight of desired answers."
    )
    undesirable_weight: Annotated[float, Field(ge=0, le=100)] = Field(
        default=1.0, description="Weight of answers that are not desired."
    )


class RewardModelSpec(ApiModel):
    """Reward model from preferences."""

    center_rewards_coefficient: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0, description="Weight of the term that keeps the mean reward near zero."
    )


class SamplingSpec(ApiModel):
    """How answers are drawn from the model."""

    max_new_tokens: Annotated[Integer, Field(ge=1, le=131072)] = Field(
        default=256, description="Longest answer, in tokens."
    )
    temperature: Annotated[float, Field(ge=0, le=10)] = Field(
        default=1.0, description="Temperature; 0 takes the likeliest token."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Draws from the likeliest tokens that together have this probability."
    )


class PpoSpec(ApiModel):
    """Proximal policy optimization against a reward model."""

    reward_model_id: HubId | None = Field(default=None, description="Reward model on the hub.")
    reward_model_path: FilePath | None = Field(
        default=None, description="Directory with the reward model, inside a mounted volume."
    )
    kl_coefficient: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.05, description="Weight of the divergence from the reference."
    )
    clip_range: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.2, description="How far one update may move the policy."
    )
    value_coefficient: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.1, description="Weight of the value loss."
    )
    discount: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0, description="Discount of later rewards."
    )
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95, description="Lambda of the generalised advantage estimate."
    )
    updates_per_batch: Annotated[Integer, Field(ge=1, le=100)] = Field(
        default=4, description="Passes over each batch of answers."
    )
    sampling: SamplingSpec = Field(default={}, validate_default=True, description="How answers are drawn.")


RewardFunction = Literal[
    "exactMatch", "contains", "numericMatch", "validJson", "thinkFormat", "ended", "brevity"
]


class GrpoSpec(ApiModel):
    """Group relative policy optimization with named reward functions."""

    reward_functions: Annotated[list[RewardFunction], Field(max_length=16)] = Field(
        default=[],
        description="What answers are rewarded for. exactMatch, contains, numericMatch: the record's own "
        "answer. validJson, thinkFormat: a form. ended: ending before the limit. brevity: few tokens.",
    )
    reward_weights: Annotated[list[Annotated[float, Field(ge=-1000, le=1000)]], Field(max_length=16)] = Field(
        default=[], description="Weight of each reward function; 1 each when empty."
    )
    group_size: Annotated[Integer, Field(ge=2, le=1024)] = Field(
        default=8, description="Answers drawn per prompt."
    )
    kl_coefficient: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.0, description="Weight of the divergence from the reference."
    )
    clip_range: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.2, description="How far one update may move the policy."
    )
    updates_per_batch: Annotated[Integer, Field(ge=1, le=100)] = Field(
        default=1, description="Passes over each batch of answers."
    )
    sampling: SamplingSpec = Field(default={}, validate_default=True, description="How answers are drawn.")
