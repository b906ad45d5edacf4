"""The frozen base in fewer bits: what the libraries are told about it."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, QuantoConfig
from transformers.quantizers.base import get_keys_to_not_convert

from finetune_api.job import FineTuneJobSpec
from finetune_api.model import ModelSpec
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.model.quanto import mend_quanto


def quantization_config(spec: FineTuneJobSpec, precision: Precision, place: str) -> Any | None:
    """transformers' configuration for loading the base quantized; None where it stays as it is.

    nf4 and fp4 are 4-bit floating point and int8 is LLM.int8(), all of bitsandbytes; int4 is an affine
    integer scheme of optimum-quanto, two weights to a byte. `place` is where the model's configuration is:
    a directory or a hub id.
    """
    quantization = spec.quantization
    # the score of a reward model is new: it is trained, not rounded
    new = ["score"] if spec.training.stage == "rm" else []
    skipped = _not_quantized(spec.model, [*quantization.skip_modules, *new], place)
    match quantization.type:
        case "none" | "auto":
            return None
        case "int4":
            mend_quanto()
            return QuantoConfig(weights="int4", modules_to_not_convert=skipped)
        case "int8":
            return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
        case "nf4" | "fp4" as kind:
            return BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type=kind,
                bnb_4bit_use_double_quant=quantization.double_quantization,
                bnb_4bit_compute_dtype=compute_type(spec, precision),
                bnb_4bit_quant_storage=storage_type(spec, precision),
                llm_int8_skip_modules=skipped,
            )


def compute_type(spec: FineTuneJobSpec, precision: Precision) -> torch.dtype:
    """The type in which layers of packed 4-bit weights compute: as asked for, else that of the run."""
    asked = spec.quantization.compute_type
    return DTYPES[precision if asked == "auto" else asked]


def storage_type(spec: FineTuneJobSpec, precision: Precision) -> torch.dtype:
    """The type under which packed 4-bit weights are held: bytes, but under ZeRO-3, which shares out
    floating-point weights only, the type that DeepSpeed casts the model to. A cast to another one would
    change the packed bits."""
    asked = spec.quantization.storage_type
    if asked == "uint8":
        return torch.uint8
    if asked != "auto":
        return DTYPES[asked]
    return DTYPES[precision] if spec.distributed.stage_of_zero == 3 else torch.uint8


def keep_packing(model: torch.nn.Module) -> None:
    """Leaves packed 4-bit weights as they were loaded. On CPUs with AVX512-BF16 bitsandbytes packs them anew
    at the first evaluation, with constants rounded to bf16: training would go on with another base."""
    packed: list[Any] = [each for each in model.modules() if hasattr(each, "support_avx512bf16_for_cpu")]
    for module in packed:
        module.support_avx512bf16_for_cpu = False


def _not_quantized(model: ModelSpec, names: list[str], place: str) -> list[str] | None:
    """The modules to leave alone; None: what transformers leaves alone by itself (the output embedding),
    which it forgets as soon as it is given names."""
    if not names:
        return None
    config = AutoConfig.from_pretrained(
        place, revision=model.revision or "main", trust_remote_code=model.trust_remote_code
    )
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, trust_remote_code=model.trust_remote_code)
    return [*names, *get_keys_to_not_convert(empty)]
