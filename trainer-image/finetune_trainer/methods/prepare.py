"""What a method needs of the whole base before any rank loads it: done by one rank, kept in the run
directory."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedModel

from finetune_api.job import FineTuneJobSpec
from finetune_api.lineage import lineage_hash
from finetune_api.model import ModelSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.cache import exclusive
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.files import describe_files, staged_as, sync_tree, write_atomically
from finetune_trainer.methods.adapters import DECOMPOSED, initialization, with_adapter
from finetune_trainer.methods.decomposition import decompose
from finetune_trainer.methods.eva import write_eva_adapter
from finetune_trainer.methods.spectrum import scan
from finetune_trainer.methods.start import Start
from finetune_trainer.model.architecture import refuse_unreached
from finetune_trainer.model.heads import LANGUAGE, Head
from finetune_trainer.model.models import load_base
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.model.quantization import quantization_config


def prepare_method(
    job: ResolvedJob,
    base: str,
    precision: Precision,
    head: Head = LANGUAGE,
    data: TrainingData | None = None,
    pad_id: int = 0,
) -> Start:
    """Where training starts from: on most runs the base itself. Ranks wait for the first one by a file lock,
    not in a collective, since measuring and decomposing a large model may outlast the ranks' patience. `data`
    is for a start that is computed from it.

    Must be called before DeepSpeed is configured: from then on ZeRO-3 would share out the model that is
    loaded here. Raises `ModelLoadError`, `InvalidConfigError`, `StorageError`.
    """
    refuse_unreached(job.spec, base)
    method = job.spec.method
    start = initialization(method) if method.uses_adapters else None
    if start in DECOMPOSED:
        return _decomposed(job, base, precision, head)
    if start == "eva":
        if data is None:
            raise AssertionError("a start that is computed from the data needs them")
        return _explained(job, base, precision, head, data, pad_id)
    if start == "orthogonal" and job.spec.quantization.type != "none":
        return _drawn(job, base, precision, head)
    if method.type == "spectrum" and not (method.spectrum and method.spectrum.layers):
        return Start(base=base, original=base, layers=_measured(job, base), head=head)
    return Start(base=base, original=base, head=head)


def _decomposed(job: ResolvedJob, base: str, precision: Precision, head: Head) -> Start:
    def make(directory: Path) -> None:
        quantization = quantization_config(job.spec, precision, base)
        model = _whole_base(job, base, precision, head)
        decompose(model, job.spec.method, job.spec.training.seed, quantization, directory, head)

    directory = _made_once(job, "residual", make)
    return Start(base=str(directory / "base"), original=base, adapter=directory / "adapter", head=head)


def _explained(
    job: ResolvedJob, base: str, precision: Precision, head: Head, data: TrainingData, pad_id: int
) -> Start:
    def make(directory: Path) -> None:
        model: Any = _whole_base(job, base, precision, head)
        if job.device == "cuda" and _fits_a_device(job.spec):
            model.to("cuda")
        write_eva_adapter(model, job.spec.method, job.spec.training.seed, data, pad_id, directory, head)

    return Start(base=base, original=base, computed=_made_once(job, "eva", make), head=head)


def _drawn(job: ResolvedJob, base: str, precision: Precision, head: Head) -> Start:
    """Adapters that PEFT draws in the type of the base's weights, which packed integers are not."""

    def make(directory: Path) -> None:
        model = _whole_base(job, base, precision, head)
        adapted: Any = with_adapter(model, job.spec.method, job.spec.training.seed, "orthogonal", head)
        # what is loaded again must not be drawn again
        adapted.peft_config["default"].init_lora_weights = True
        adapted.save_pretrained(directory)

    return Start(base=base, original=base, computed=_made_once(job, "orthogonal", make), head=head)


def _made_once(job: ResolvedJob, kind: str, make: Callable[[Path], None]) -> Path:
    """A directory of this run, made by whoever comes first, whole or not at all."""
    directory = Path(job.paths.run_directory) / f"{kind}-{lineage_hash(job.spec)[:12]}"
    with exclusive(directory.with_name(f"{directory.name}.lock")) as alone:
        if not directory.exists():
            with staged_as(directory, alone=alone) as staged:
                make(staged)
                sync_tree(staged)
    return directory


def _whole_base(job: ResolvedJob, base: str, precision: Precision, head: Head) -> PreTrainedModel:
    """The base, not quantized, in the type in which it is used."""
    asked = job.spec.model.load_precision
    dtype = DTYPES[precision if asked == "auto" else asked]
    return load_base(job.spec.model, base, dtype, head=head)


def _fits_a_device(spec: FineTuneJobSpec) -> bool:
    """Whether one device is meant to hold the whole base: what is quantized or shared out may not fit, and is
    passed through on the CPU."""
    return spec.quantization.type == "none" and spec.distributed.stage_of_zero < 3


def _measured(job: ResolvedJob, base: str) -> Path:
    model = job.spec.model
    file = Path(job.paths.run_directory) / f"spectrum-{_content(model, base)}.json"
    with exclusive(file.with_name(f"{file.name}.lock")):
        if not file.exists():
            ratios = scan(load_base(model, base, DTYPES["fp32"]))
            write_atomically(file, json.dumps(ratios, indent=2) + "\n")
    return file


def _content(model: ModelSpec, base: str) -> str:
    """What tells this model's weights from others': the hashes of its files, or its commit on the hub."""
    if Path(base).is_dir():
        files = [
            entry for entry in describe_files(Path(base)) if entry.path.endswith((".safetensors", ".bin"))
        ]
        text = "".join(f"{entry.path} {entry.sha256}\n" for entry in files)
    else:
        config = AutoConfig.from_pretrained(
            base, revision=model.revision or "main", trust_remote_code=model.trust_remote_code
        )
        text = f"{base} {getattr(config, '_commit_hash', None) or model.revision}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]
