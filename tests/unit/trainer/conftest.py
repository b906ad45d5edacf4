"""Tiny models and jobs: everything runs on CPU, from files made on the spot."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch.distributed as dist

import small_models
from fake_hub import FakeHub, fake_hub
from finetune_api import ResolvedJob, parse_job, resolve
from finetune_api.model import ArchitectureSpec, TokenizerTrainSpec
from finetune_trainer.hub.pushes import Hub

MakeJob = Callable[..., ResolvedJob]
FamilyModel = Callable[[str], Path]

RECORDS = [{"instruction": f"add {a} and {b}", "output": str(a + b)} for a in range(5) for b in range(4)]


SHAPE: dict[str, Any] = {"hidden_size": 32, "layers": 2, "attention_heads": 4, "max_position_embeddings": 128}


def _architecture(tiny_model: Path, spec: ArchitectureSpec) -> Path:
    from transformers import AutoTokenizer

    from finetune_trainer.model.models import create_base

    directory = tiny_model.with_name(spec.architecture)
    create_base(spec, AutoTokenizer.from_pretrained(tiny_model), directory, seed=1)
    return directory


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files and directories, as they are made durable, under the names that they have at the time."""
    found: list[Path] = []
    plain = os.fsync

    def record(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return found


@pytest.fixture(autouse=True)
def rank_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test is a rank of its own, and leaves no process group and no signal handlers behind."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FINETUNE_TERMINATION_MESSAGE", str(tmp_path / "termination-message"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on this machine, and a client that may speak to it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    # xet speaks to servers of its own; files go over the hub's HTTP API
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with fake_hub() as server:
        yield server


@pytest.fixture
def hub(hub_server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub that jobs push to, without waiting between tries."""
    at_once = partial(Hub, endpoint=hub_server.url, delays=(), token="hub-token")
    monkeypatch.setattr(Hub, "of", staticmethod(at_once))
    return hub_server


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[..., Path]:
    def write(records: list[dict[str, Any]], name: str = "train.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 60,000 weights with a tokenizer of 300 tokens, in a directory."""
    from finetune_trainer.model.models import create_base
    from finetune_trainer.model.tokenizers import train_tokenizer

    directory = tmp_path_factory.mktemp("models") / "tiny"
    text = [f"{record['instruction']} {record['output']} user assistant" for record in RECORDS]
    tokenizer = train_tokenizer(text * 3, TokenizerTrainSpec(vocab_size=300))
    architecture = ArchitectureSpec(
        hidden_size=32, layers=2, attention_heads=4, key_value_heads=2, max_position_embeddings=128
    )
    create_base(architecture, tokenizer, directory, seed=1)
    return directory


@pytest.fixture(scope="session")
def tiny_gpt2(tiny_model: Path) -> Path:
    """A GPT-2, whose layers are transformers' Conv1D, beside the tokenizer of the Llama."""
    return _architecture(tiny_model, ArchitectureSpec(architecture="gpt2", **SHAPE))


@pytest.fixture(scope="session")
def tiny_mixtral(tiny_model: Path) -> Path:
    """A Mixtral of 8 experts, which are parameters of three dimensions."""
    return _architecture(tiny_model, ArchitectureSpec(architecture="mixtral", **SHAPE))


@pytest.fixture(scope="session")
def family_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> FamilyModel:
    """The directory of a family's model, each made once."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            directory = tmp_path_factory.mktemp("families") / family
            made[family] = small_models.saved(family, tiny_model, directory)
        return made[family]

    return make


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Path, write_jsonl: Callable[..., Path]) -> MakeJob:
    """A resolved job for this machine: a tiny model, 20 additions, 4 steps; any part of the spec can be
    changed."""

    def make(
        spec: dict[str, Any] | None = None, *, attempt: int = 1, run_directory: Path | None = None
    ) -> ResolvedJob:
        data = tmp_path / "train.jsonl"
        if not data.exists():
            write_jsonl(RECORDS)
        base: dict[str, Any] = {
            "model": {"path": str(tiny_model)},
            "method": {"type": "full"},
            "dataset": {"format": "alpaca", "train": {"path": str(data)}},
            "training": {
                "maxSteps": 4,
                "microBatchSize": 2,
                "gradientAccumulationSteps": 2,
                "learningRate": 1e-2,
                "maxSequenceLength": 64,
                "loggingSteps": 1,
            },
            "checkpoints": {"everySteps": 2},
        }
        whole = merged(base, spec or {})
        if spec and "model" in spec:
            whole["model"] = spec["model"]
        job = parse_job(
            {
                "apiVersion": "finetune.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"name": "tiny"},
                "spec": whole,
            }
        )
        run = run_directory or tmp_path / "run"
        return resolve(job, attempt, run_directory=str(run), master_address="127.0.0.1", device="cpu")

    return make
