"""The merged model: a fresh 16-bit base with the saved adapter in its weights, proved to compute the same."""

import logging
import shutil
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from finetune_api.base import FloatType
from finetune_api.model import ModelSpec
from finetune_api.storage import OutputSpec
from finetune_trainer.data.asking import end_tokens
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.errors import InvalidConfigError, OutputInvalidError, TrainerError, classify
from finetune_trainer.model.generation_settings import settle
from finetune_trainer.model.memory import bytes_of, place_for, straight_to
from finetune_trainer.model.models import LOAD_ERRORS
from finetune_trainer.model.precision import DTYPES, multiply_in
from finetune_trainer.output.merge_proof import (
    check_weights,
    merged_weights,
    probe_ids,
)
from finetune_trainer.output.trial import TOLERANCE, generate, logits_of, relative_difference

log = logging.getLogger(__name__)


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

    def load(self, dtype: torch.dtype, device: torch.device) -> Any:
        """The model with plain weights of one type, on the device if it fits beside what is there, else in
        the host's memory. Raises what transformers does."""
        return AutoModelForCausalLM.from_pretrained(
            self.place,
            revision=self.revision or "main",
            dtype=dtype,
            trust_remote_code=self.trust_remote_code,
            **straight_to(self._place_for(dtype, device)),
        )

    def _place_for(self, dtype: torch.dtype, device: torch.device) -> torch.device:
        if device.type != "cuda":
            return device
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(
                self.config(), dtype=dtype, trust_remote_code=self.trust_remote_code
            )
        return place_for(bytes_of(empty), device)

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
    each weight is what base and adapter give (`merge_proof.py`), that they compute, and generate. Raises
    `OutputInvalidError`, and `StorageError` or `OutOfMemoryError` where that is the cause."""
    dtype = DTYPES[precision]
    if device.type == "cuda":
        # a training that allowed it is over, and it would round what is to be told from rounding
        multiply_in("fp32")
    try:
        from peft import PeftModel

        plain = base.load(dtype, device).eval()
        ids = probe_ids(plain.config.get_text_config().vocab_size)
        model = PeftModel.from_pretrained(plain, adapter).eval()
        weights = merged_weights(model, ids, dtype)
        apart = logits_of(model, ids)
        merged = merged_model(model, dtype)
        expected = logits_of(merged, ids)
        size = bytes_of(merged)
        tokenizer = AutoTokenizer.from_pretrained(adapter, trust_remote_code=base.trust_remote_code)
        settle(merged, end_tokens(tokenizer))
        merged.save_pretrained(directory, max_shard_size=shard_bytes)
        tokenizer.save_pretrained(directory)
        del plain, model, merged
        place = place_for(size, device)
        reloaded = _reloaded(directory, dtype, place, trust=base.trust_remote_code).eval()
        check_weights(reloaded, weights, dtype)
        generate(reloaded, ids, pad_token_id=0)
        found = logits_of(reloaded, ids)
    except LOAD_ERRORS as error:
        raise explained(error, "output.mergeAdapter: the adapter cannot be merged", directory) from error
    difference = relative_difference(found, expected)
    if not difference <= TOLERANCE[precision]:
        raise OutputInvalidError(
            "output.mergeAdapter: the files have the right weights, but the model that is loaded from them "
            f"computes something else: logits differ by {difference:.2g} of the largest, "
            f"{TOLERANCE[precision]:.2g} is allowed in {precision}"
        )
    rounding = relative_difference(expected, apart)
    log.info("merged in %s: rounding changes the logits by %.1e of the largest", precision, rounding)


def merged_model(model: Any, dtype: torch.dtype) -> Any:
    """The base model of a `PeftModel` with its adapter in the weights.

    Each layer is merged in fp32 and rounded once: sums and norms (DoRA) of 16-bit numbers would round more
    often. Raises `ValueError` for weights that are not finite.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    _part_shared_weights(model)
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.float()
            module.merge(safe_merge=True)
            module.to(dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Aa]lready merged.*")
        warnings.filterwarnings("ignore", message=".*no longer tied.*")
        merged = model.merge_and_unload(safe_merge=True)
    for weight in merged.parameters():
        # not `.to`: it would round the buffers too, such as the rotary frequencies, which are not stored
        weight.data = weight.data.to(dtype)
    if tied and torch.equal(merged.get_input_embeddings().weight, merged.get_output_embeddings().weight):
        merged.config.get_text_config().tie_word_embeddings = merged.config.tie_word_embeddings = True
        merged.tie_weights()
    return merged


def _part_shared_weights(model: torch.nn.Module) -> None:
    """Gives adapted layers weights of their own where they share them with other layers (tied embeddings):
    what is added to one must not be added to the others."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    uses = Counter(id(weight) for module in model.modules() for weight in module.parameters(recurse=False))
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            base = module.get_base_layer()
            for name, weight in list(base.named_parameters(recurse=False)):
                if uses[id(weight)] > 1:
                    setattr(base, name, torch.nn.Parameter(weight.detach().clone(), requires_grad=False))


def rewrite_model(
    directory: Path,
    loader: Any = AutoModelForCausalLM,
    *,
    precision: Precision,
    shard_bytes: int,
    trust: bool = False,
) -> None:
    """Writes the weights in a directory again, if need be: in another type, or in files of at most so many
    bytes. Raises what `write_merged` does."""
    files = list(directory.glob("model*.safetensors"))
    try:
        written = getattr(AutoConfig.from_pretrained(directory, trust_remote_code=trust), "dtype", None)
        if written == DTYPES[precision] and all(file.stat().st_size <= shard_bytes for file in files):
            return
        model = loader.from_pretrained(directory, dtype=DTYPES[precision], trust_remote_code=trust)
        staged = directory.with_name(f"{directory.name}.shards")
        shutil.rmtree(staged, ignore_errors=True)
        model.save_pretrained(staged, max_shard_size=shard_bytes)
    except LOAD_ERRORS as error:
        raise explained(error, "output: the model cannot be written again", directory) from error
    for file in (*files, *directory.glob("model*.safetensors.index.json")):
        file.unlink()
    for file in staged.iterdir():
        file.replace(directory / file.name)
    staged.rmdir()


def explained(error: Exception, what: str, directory: Path) -> TrainerError:
    """What went wrong with an output in a directory: no memory and no room are no fault of the output."""
    known = classify(error, ranks=1, volume=directory)
    return known if type(known) is not TrainerError else OutputInvalidError(f"{what}: {error}")


def _reloaded(directory: Path, dtype: torch.dtype, place: torch.device, *, trust: bool) -> Any:
    """The model as a user's first line loads it. Raises what transformers does, and `ValueError` for files
    that are not the whole of it."""
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, trust_remote_code=trust, output_loading_info=True, **straight_to(place)
    )
    if report["missing_keys"] or report["unexpected_keys"]:
        raise ValueError(f"weights are missing or left over: {report}")
    return model
