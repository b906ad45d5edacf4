"""The result: written beside its place, loaded again and run, and only then put into its place."""

import gc
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from transformers import AutoTokenizer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from finetune_api.resolved import ResolvedJob
from finetune_api.status import OutputStatus
from finetune_trainer.checkpoints.store import Checkpoint, CheckpointStore
from finetune_trainer.checkpoints.universal import carry_over, restore
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.distributed import any_rank, barrier, on_first_rank
from finetune_trainer.errors import OutputInvalidError, StorageError, TrainerError
from finetune_trainer.files import (
    FileEntry,
    describe_files,
    sync_directory,
    sync_tree,
    write_atomically,
)
from finetune_trainer.methods import Start, make_ordinary, reload_trained
from finetune_trainer.model.generation_settings import take_up
from finetune_trainer.model.heads import LANGUAGE, Head, remove_extra
from finetune_trainer.model.memory import bytes_of, free, give_up, place_for, straight_to
from finetune_trainer.model.models import LOAD_ERRORS
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.output.merge import explained, rewrite_model
from finetune_trainer.output.trial import PROBE_TOKENS, TOLERANCE, generate, logits_of, relative_difference
from finetune_trainer.paths import volume_path
from finetune_trainer.training.guards import refuse_bad_weights
from finetune_trainer.training.trainer import FineTuneTrainer

log = logging.getLogger(__name__)

Kind = Literal["adapter", "model", "merged"]

CARD = "README.md"
"""Not part of the manifest: it is written last, and people edit it."""


class OutputManifest(BaseModel):
    """What was written, and from which run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    kind: Kind
    job: str
    job_uid: str
    step: int
    files: list[FileEntry]


@dataclass(frozen=True)
class Chosen:
    """Whose weights become the output."""

    step: int
    """The step that they were learned in."""
    score: float | None = None
    """Their `checkpoints.metric`, where they are those of the best checkpoint."""
    torn: str | None = None
    """Which better ones were torn, in words; None when none was."""


@dataclass(frozen=True)
class Probe:
    """A sequence, and what the trained model makes of it."""

    ids: torch.Tensor
    logits: torch.Tensor


def export(
    trainer: FineTuneTrainer, job: ResolvedJob, start: Start, precision: Precision, chosen: Chosen
) -> OutputStatus:
    """Writes the adapter or the model, on all ranks together, and proves on rank 0 that it loads.

    The trainer cannot be used afterwards. Raises `DivergedError` for weights that are not numbers,
    `OutputInvalidError` or `StorageError`, on every rank.
    """
    kind: Kind = "adapter" if job.spec.method.uses_adapters else "model"
    output = Path(job.paths.output_directory)
    staged, target = output / f".{kind}.tmp", output / kind
    first = trainer.is_world_process_zero()
    refuse_bad_weights(trainer.model, chosen.step, f"the {kind}")
    if first:
        shutil.rmtree(staged, ignore_errors=True)
        output.mkdir(parents=True, exist_ok=True)
    barrier()
    probe = _probe(trainer)
    if kind == "model" and not trainer.is_deepspeed_enabled:
        trainer.model.to(DTYPES[precision])
    trainer.model.config.use_cache = True
    remove_extra(trainer.model, start.head)
    trainer.save_model(str(staged))
    barrier()

    failure: TrainerError | None = None
    written_bytes = 0
    if first:
        size = bytes_of(trainer.model)
        _release(trainer)
        place = place_for(size, trainer.args.device)
        trust = job.spec.model.trust_remote_code
        written = written_precision(job, precision)
        try:
            if start.adapter is not None:
                make_ordinary(staged, start.adapter, start.original)
            if kind == "model":
                rewrite_model(
                    staged, start.head.loader, precision=written, shard_bytes=shard_bytes(job), trust=trust
                )
            verify(
                staged,
                lambda: _reload(staged, kind, job, start, precision, place),
                probe,
                precision,
                place,
                tolerance=max(TOLERANCE[precision], TOLERANCE[written]),
                trust=trust,
                generates=start.head.generates,
            )
            written_bytes = commit(staged, target, kind, job, chosen.step)
        except TrainerError as error:
            failure = error
    (failed,) = any_rank(failure is not None)
    if failed:
        raise failure or OutputInvalidError("rank 0 found the output to be invalid")
    log.info("%s is written to %s, and was loaded and run once", kind, target)
    return OutputStatus(kind=kind, path=volume_path(target), verified=True, bytes=written_bytes)


def remove_unfinished(output: Path) -> None:
    """Removes what an earlier attempt left half-written among the results, for the room that it takes."""
    for staged in output.glob(".*.tmp*"):
        shutil.rmtree(staged, ignore_errors=True)


def take_best(trainer: FineTuneTrainer, store: CheckpointStore, job: ResolvedJob) -> Chosen:
    """Goes back to the weights of the best checkpoint that is still whole, on every rank; where none has a
    metric, those of the last step stay."""
    step = trainer.state.global_step
    best, torn = on_first_rank(lambda: _best_whole(store, step))
    if best is not None and best.step != step:
        log.info("the output is made from %s, the best checkpoint", best.path.name)
        carried = carry_over(best, job, store.staging)
        if carried is None:
            trainer.load_weights(best.path)
        else:
            restore(trainer, carried, None)
    taken, score = (best.step, best.manifest.value) if best else (step, None)
    if not torn:
        return Chosen(taken, score)
    words = f"output.checkpoint: best is made from step {taken}: {'; '.join(torn)}"
    log.warning("%s", words)
    return Chosen(taken, score, words)


def _best_whole(store: CheckpointStore, step: int) -> tuple[Checkpoint | None, list[str]]:
    """The best checkpoint, and the better ones that are torn. That of this step need not be read again."""
    torn: list[str] = []
    while (best := store.best()) is not None:
        if best.step == step or store.is_whole(best, skipped=torn.append):
            break
    return best, torn


def verify(
    directory: Path,
    reload: Callable[[], Any],
    probe: Probe,
    precision: Precision,
    place: torch.device,
    *,
    tolerance: float,
    trust: bool,
    generates: bool,
) -> None:
    """Loads what is in a directory as a user would, and compares. Raises `OutputInvalidError`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=trust)
        model = reload()
        model.to(place).eval()
        if not generates:
            # the score is that of the token before it, and an adapter can't bring it to its base
            model.config.pad_token_id = tokenizer.pad_token_id
        logits = logits_of(model, probe.ids)
        if generates:
            generate(model, probe.ids, tokenizer.pad_token_id)
    except LOAD_ERRORS as error:
        what = f"output: {volume_path(directory)} was written but does not load"
        raise explained(error, what, directory) from error
    if not bool(torch.isfinite(logits).all()):
        raise OutputInvalidError(f"output: {volume_path(directory)} loads, but its logits are not finite")
    difference = relative_difference(logits, probe.logits)
    if not difference <= tolerance:  # NaN is neither
        raise OutputInvalidError(
            f"output: {volume_path(directory)} loads, but computes something else than the trained model: "
            f"logits differ by {difference:.2g} of the largest, {tolerance} is allowed under {precision}"
        )
    log.info("reloaded output: logits differ by %.1e of the largest", difference)


def _reload(
    directory: Path, kind: Kind, job: ResolvedJob, start: Start, precision: Precision, place: torch.device
) -> Any:
    if kind == "adapter":
        return reload_trained(job.spec, start, directory, precision, place)
    trust = job.spec.model.trust_remote_code
    return load_output(directory, None, DTYPES[precision], trust, start.head, place)


def load_output(
    model: Path | str,
    adapter: Path | None,
    dtype: torch.dtype | Literal["auto"],
    trust: bool = False,
    head: Head = LANGUAGE,
    device: torch.device | None = None,
) -> Any:
    """A model from a directory or the hub, with an adapter on it where there is one; `auto` keeps the type in
    which it is stored, `device` is where it will be."""
    loaded = head.loader.from_pretrained(
        model, dtype=dtype, trust_remote_code=trust, **head.settings, **straight_to(device)
    )
    if adapter is None:
        return loaded
    from peft import PeftModel

    take_up(loaded, adapter)
    return PeftModel.from_pretrained(loaded, adapter)


def _probe(trainer: FineTuneTrainer) -> Probe:
    """The trained model's logits for the start of the first sequence; every rank takes part (ZeRO-3)."""
    ids = trainer.example_ids()[:PROBE_TOKENS].unsqueeze(0)
    model = trainer.model_wrapped
    model.eval()
    with torch.no_grad(), trainer.compute_loss_context_manager():
        logits = model(input_ids=ids.to(trainer.args.device)).logits
    return Probe(ids, logits.float().cpu())


def written_precision(job: ResolvedJob, precision: Precision) -> Precision:
    """The type of a whole model's weights: as asked for, else that of the run."""
    asked = job.spec.output.precision
    return precision if asked == "auto" else asked


def _release(trainer: FineTuneTrainer) -> None:
    """Frees what training held, the model included: on a GPU that it fills, a second copy finds room only in
    its place."""
    stepping = trainer.optimizer
    while hasattr(stepping, "optimizer"):
        stepping = stepping.optimizer
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.callback_handler.optimizer = trainer.callback_handler.lr_scheduler = None
    trainer.accelerator.free_memory()
    if stepping is not None:
        stepping.state.clear()
        # under DeepSpeed, weights of its own in fp32
        free(weight for group in stepping.param_groups for weight in group["params"])
    give_up(trainer.model)
    trainer.model_wrapped, trainer.deepspeed = trainer.model, None
    # else the fresh load would be cut into ZeRO-3 shards, together with ranks that do not take part
    unset_hf_deepspeed_config()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def shard_bytes(job: ResolvedJob) -> int:
    """Largest weight file, in bytes."""
    return int(job.spec.output.max_shard_size_gb * 1e9)


def commit(staged: Path, target: Path, kind: Kind, job: ResolvedJob, step: int) -> int:
    """Puts a directory that has been proved into its place, with a manifest; returns its size in bytes.
    Raises `StorageError`."""
    try:
        (staged / "training_args.bin").unlink(missing_ok=True)
        files = [entry for entry in describe_files(staged) if entry.path != CARD]
        manifest = OutputManifest(kind=kind, job=job.job.name, job_uid=job.job.uid, step=step, files=files)
        sync_tree(staged)
        write_atomically(staged / "manifest.json", manifest.model_dump_json(indent=2) + "\n")
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise StorageError(f"output: {volume_path(target)} cannot be written: {error}") from error
    return sum(entry.bytes for entry in files)
