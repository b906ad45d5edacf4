"""`spec.quantization`: how the frozen base is stored."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import AUTO, ApiModel, FloatType
from finetune_api.method import ModuleName


class QuantizationSpec(ApiModel):
    """Quantization of the base model's weights; adapters stay in a floating-point type."""

    type: Literal["auto", "none", "int8", "int4", "nf4", "fp4"] = Field(
        default="none",
        description="none: as loaded. int8: bitsandbytes' LLM.int8(). int4: integers of optimum-quanto, two "
        "to a byte. nf4, fp4: 4-bit floating point of bitsandbytes. auto, for adapters: nf4 where the job "
        "might not fit without, as far as accelerator and model are known, else none; settled by the first "
        "attempt.",
    )
    compute_type: FloatType = Field(
        default="auto",
        description="Type in which layers of nf4 and fp4 compute; auto follows training.precision.",
    )
    storage_type: Literal["auto", "uint8", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="Type in which packed 4-bit weights are held; ZeRO-3 needs a float type."
    )
    double_quantization: bool = Field(
        default=True, description="Whether the constants of nf4 and fp4 are quantized too."
    )
    skip_modules: Annotated[list[ModuleName], Field(max_length=64)] = Field(
        default=[], description="Modules that are not quantized; the output embedding never is."
    )
    allow_dora: bool = Field(
        default=False,
        description="Allows dora on a quantized base, which is refused otherwise: it is slow, and not every "
        "combination works.",
    )

    @property
    def settled(self) -> "QuantizationSpec":
        """The same, unquantized as long as `auto` is not decided."""
        return self.model_copy(update={"type": "none"}) if self.type == AUTO else self
