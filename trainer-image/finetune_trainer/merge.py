"""The merged model: a fresh 16-bit base with the saved adapter in its weights, proved to compute the same."""

import gc
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from finetune_api.base import FloatType
from finetune_api.model import ModelSpec
from finetune_api.storage import OutputSpec
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import InvalidConfigError, OutputInvalidError, TrainerError, classify
from finetune_trainer.models import LOAD_ERRORS
from finetune_trainer.precision import DTYPES

log = logging.getLogger(__name__)

TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 2e-2}
"""How far the logits of the merged model may be from those of base plus adapter, as a share of the largest
logit. What the adapter changes must show too: see `allowed_difference`."""

PROBE_TOKENS = 64
NEW_TOKENS = 8
ROOM = 1.3
"""How many times a model's size a GPU must have free for it to be merged there."""


@dataclass(frozen=True)
class Base:
    """The base model as it can be loaded afresh."""

    place: str
    """Directory or hub id."""
    revision: str | None = None
    trust_remote_code: bool = False

    @classmethod
    def of(cls, model: ModelSpec, place: str) -> "Base":
        """The base of a job, which lies at a directory or under a hub id."""
        return cls(place, model.revision, model.trust_remote_code)

    def load(self, dtype: torch.dtype) -> Any:
        """The model with plain weights of one type, in the host's memory. Raises what transformers does."""
        return AutoModelForCausalLM.from_pretrained(
            self.place,
            revision=self.revision or "main",
            dtype=dtype,
            trust_remote_code=self.trust_remote_code,
        )

    def config(self) -> Any:
        """Its configuration. Raises what transformers does."""
        return AutoConfig.from_pretrained(
            self.place, revision=self.revision or "main", trust_remote_code=self.trust_remote_code
        )


def check_mergeable(output: OutputSpec, base: Base) -> None:
    """Raises `InvalidConfigError`, before anything is trained, for a base that an adapter cannot be merged
    into."""
    if output.merge_adapter and getattr(base.config(), "quantization_config", None) is not None:
        raise InvalidConfigError(
            f"output.mergeAdapter: {base.place} is stored quantized, and merging into rounded weights loses "
            "what was trained. Name the 16-bit model in model.id or model.path and quantize it with "
            "quantization.type, or set output.mergeAdapter to false"
        )


def merged_precision(asked: FloatType, base: Base) -> Precision:
    """The type of the merged weights: as asked for, else the base's own 16-bit type, else bf16."""
    if asked != "auto":
        return asked
    return "fp16" if getattr(base.config(), "dtype", None) == torch.float16 else "bf16"


def write_merged(
    base: Base,
    adapter: Path,
    directory: Path,
    *,
    precision: Precision,
    shard_bytes: int,
    device: torch.device,
) -> None:
    """Writes the merged model and the adapter's tokenizer to a directory, and proves by loading them that
    they compute what base and adapter compute, and generate. Raises `OutputInvalidError`, and `StorageError`
    or `OutOfMemoryError` where that is the cause."""
    try:
        from peft import PeftModel

        plain = base.load(DTYPES[precision])
        plain.to(_place_for(plain, device)).eval()
        ids = probe_ids(plain.config.get_text_config().vocab_size)
        before = _logits(plain, ids)
        model = PeftModel.from_pretrained(plain, adapter).eval()
        expected = _logits(model, ids)
        effect = relative_difference(before, expected)
        merged = merged_model(model, DTYPES[precision]).to("cpu")
        merged.save_pretrained(directory, max_shard_size=shard_bytes)
        tokenizer = AutoTokenizer.from_pretrained(adapter, trust_remote_code=base.trust_remote_code)
        tokenizer.save_pretrained(directory)
        del plain, model, merged
        gc.collect()
        found = _reloaded_logits(directory, ids, precision, device, trust=base.trust_remote_code)
    except LOAD_ERRORS as error:
        raise _explained(error, "output.mergeAdapter: the adapter cannot be merged", directory) from error
    difference = relative_difference(found, expected)
    allowed = allowed_difference(precision, effect)
    if not difference <= allowed:
        raise OutputInvalidError(
            f"output.mergeAdapter: the merged model computes something else than base and adapter: logits "
            f"differ by {difference:.2g} of the largest, {allowed:.2g} is allowed in {precision} for an "
            f"adapter that changes them by {effect:.2g}"
        )
    log.info("merged in %s: logits differ by %.1e of the largest", precision, difference)


def merged_model(model: Any, dtype: torch.dtype) -> Any:
    """The base model of a `PeftModel` with its adapter in the weights.

    Each layer is merged in fp32 and rounded once: sums and norms (DoRA) of 16-bit numbers would round more
    often. Raises `ValueError` for weights that are not finite.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.float()
            module.merge(safe_merge=True)
            module.to(dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Aa]lready merged.*")
        warnings.filterwarnings("ignore", message=".*no longer tied.*")
        merged = model.merge_and_unload(safe_merge=True)
    return merged.to(dtype)


def rewrite_model(
    directory: Path, loader: Any = AutoModelForCausalLM, *, precision: Precision, shard_bytes: int
) -> None:
    """Writes the weights in a directory again, if need be: in another type, or in files of at most so many
    bytes. Raises what `write_merged` does."""
    files = list(directory.glob("model*.safetensors"))
    try:
        written = getattr(AutoConfig.from_pretrained(directory), "dtype", None)
        if written == DTYPES[precision] and all(file.stat().st_size <= shard_bytes for file in files):
            return
        model = loader.from_pretrained(directory, dtype=DTYPES[precision])
        staged = directory.with_name(f"{directory.name}.shards")
        shutil.rmtree(staged, ignore_errors=True)
        model.save_pretrained(staged, max_shard_size=shard_bytes)
    except LOAD_ERRORS as error:
        raise _explained(error, "output: the model cannot be written again", directory) from error
    for file in (*files, *directory.glob("model*.safetensors.index.json")):
        file.unlink()
    for file in staged.iterdir():
        file.replace(directory / file.name)
    staged.rmdir()


def probe_ids(vocabulary: int) -> torch.Tensor:
    """Token ids to compare models on, (1, 64): always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, vocabulary, (1, PROBE_TOKENS), generator=generator)


def relative_difference(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of two tensors, as a share of the largest expected value; NaN stays NaN."""
    return float((logits - expected).abs().max()) / max(float(expected.abs().max()), 1e-6)


def allowed_difference(precision: Precision, effect: float) -> float:
    """The tolerance, and less for an adapter that changes little: a model without it must not pass for a
    merged one as long as its change is more than rounding."""
    tolerance = TOLERANCE[precision]
    return min(tolerance, max(effect / 2, tolerance / 2))


def _explained(error: Exception, what: str, directory: Path) -> TrainerError:
    known = classify(error, ranks=1, volume=directory)
    return known if type(known) is not TrainerError else OutputInvalidError(f"{what}: {error}")


def _reloaded_logits(
    directory: Path, ids: torch.Tensor, precision: Precision, device: torch.device, *, trust: bool
) -> torch.Tensor:
    """What a user's first lines with the model give: it loads whole, computes, and generates."""
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=DTYPES[precision], trust_remote_code=trust, output_loading_info=True
    )
    if report["missing_keys"] or report["unexpected_keys"]:
        raise ValueError(f"weights are missing or left over: {report}")
    model.to(_place_for(model, device)).eval()
    start = ids[:, : PROBE_TOKENS // 2].to(model.device)
    with torch.no_grad():
        model.generate(
            input_ids=start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=0,
        )
    return _logits(model, ids)


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids.to(model.device)).logits
    return logits.float().cpu()


def _place_for(model: Any, device: torch.device) -> torch.device:
    """The device if the model fits beside what is there, else the host."""
    if device.type != "cuda":
        return device
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    free, _ = torch.cuda.mem_get_info(device)
    return device if free > ROOM * size else torch.device("cpu")
