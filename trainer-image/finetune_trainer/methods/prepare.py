"""What a method needs of the whole base before any rank loads it: done by one rank, kept in the run
directory."""

import hashlib
import json
import shutil
from pathlib import Path

from transformers import AutoConfig

from finetune_api.lineage import lineage_hash
from finetune_api.model import ModelSpec
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.cache import exclusive
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.files import describe_files, sync_tree, write_atomically
from finetune_trainer.heads import LANGUAGE, Head
from finetune_trainer.methods.adapters import DECOMPOSED, initialization
from finetune_trainer.methods.decomposition import decompose
from finetune_trainer.methods.spectrum import scan
from finetune_trainer.methods.start import Start
from finetune_trainer.models import load_base
from finetune_trainer.precision import DTYPES
from finetune_trainer.quantization import quantization_config


def prepare_method(job: ResolvedJob, base: str, precision: Precision, head: Head = LANGUAGE) -> Start:
    """Where training starts from: on most runs the base itself. Ranks wait for the first one by a file lock,
    not in a collective, since measuring and decomposing a large model may outlast the ranks' patience.

    Must be called before DeepSpeed is configured: from then on ZeRO-3 would share out the model that is
    loaded here. Raises `ModelLoadError`, `InvalidConfigError`, `StorageError`.
    """
    method = job.spec.method
    if method.uses_adapters and initialization(method) in DECOMPOSED:
        return _decomposed(job, base, precision, head)
    if method.type == "spectrum" and not (method.spectrum and method.spectrum.layers):
        return Start(base=base, original=base, layers=_measured(job, base), head=head)
    return Start(base=base, original=base, head=head)


def _decomposed(job: ResolvedJob, base: str, precision: Precision, head: Head) -> Start:
    spec = job.spec
    directory = Path(job.paths.run_directory) / f"residual-{lineage_hash(spec)[:12]}"
    with exclusive(directory.with_name(f"{directory.name}.lock")):
        if not directory.exists():
            staged = directory.with_name(f".{directory.name}.tmp")
            shutil.rmtree(staged, ignore_errors=True)
            asked = spec.model.load_precision
            dtype = DTYPES[precision if asked == "auto" else asked]
            model = load_base(spec.model, base, dtype, head=head)
            quantization = quantization_config(spec, precision, base)
            decompose(model, spec.method, spec.training.seed, quantization, staged, head)
            sync_tree(staged)
            staged.rename(directory)
    return Start(base=str(directory / "base"), original=base, adapter=directory / "adapter", head=head)


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
