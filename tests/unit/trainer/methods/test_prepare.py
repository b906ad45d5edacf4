"""What a method needs of the whole base is done once, for all ranks and attempts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from finetune_api import ResolvedJob
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.methods import Start, prepare, prepare_method

MakeJob = Callable[..., ResolvedJob]


SPECTRUM = {"method": {"type": "spectrum"}}
PISSA = {"method": {"type": "pissa"}}


def started(job: ResolvedJob) -> Start:
    return prepare_method(job, str(job.spec.model.path), "fp32")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what has been computed."""
    done: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(prepare, name)

        def call(*args: Any) -> Any:
            done.append(name)
            return real(*args)

        return call

    for name in ("scan", "decompose"):
        monkeypatch.setattr(prepare, name, counted(name))
    return done


@pytest.mark.parametrize("kind", ["full", "lora", "dora", "freeze"])
def test_most_methods_start_from_the_base_itself(make_job: MakeJob, work: list[str], kind: str) -> None:
    job = make_job({"method": {"type": kind}})
    assert started(job) == Start(base=str(job.spec.model.path), original=str(job.spec.model.path))
    assert work == []


def test_spectrum_measures_a_model_once(make_job: MakeJob, work: list[str]) -> None:
    first, second = started(make_job(SPECTRUM)), started(make_job(SPECTRUM, attempt=2))
    assert first == second
    assert work == ["scan"]
    assert first.layers is not None
    assert len(json.loads(first.layers.read_text())) == 14


def test_named_layers_are_not_measured(make_job: MakeJob, work: list[str]) -> None:
    start = started(make_job({"method": {"type": "spectrum", "spectrum": {"layers": [0]}}}))
    assert (start.layers, work) == (None, [])


def test_other_weights_under_the_same_path_are_measured_anew(
    make_job: MakeJob, work: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    job = make_job(SPECTRUM | {"model": {"path": str(copy)}})
    before = started(job)
    weights = load_file(copy / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] *= 2
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert started(job).layers != before.layers
    assert work == ["scan", "scan"]


def test_a_base_is_decomposed_once(make_job: MakeJob, work: list[str]) -> None:
    first, second = started(make_job(PISSA)), started(make_job(PISSA, attempt=2))
    assert first == second
    assert work == ["decompose"]
    assert first.adapter is not None
    assert (first.adapter / "adapter_model.safetensors").is_file()
    assert (Path(first.base) / "model.safetensors").is_file()


def test_a_decomposition_that_was_cut_off_is_done_again(
    make_job: MakeJob, work: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: Any) -> None:
        (args[4] / "base").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "decompose", dies)
        with pytest.raises(KeyboardInterrupt):
            started(make_job(PISSA))
    start = started(make_job(PISSA, attempt=2))
    assert (Path(start.base) / "model.safetensors").is_file()
    assert work == ["decompose"]


def test_orthogonal_adapters_of_a_quantized_base_are_drawn_on_the_whole_one(make_job: MakeJob) -> None:
    lora = {"type": "lora", "lora": {"rank": 4, "initialization": "orthogonal"}}
    assert started(make_job({"method": lora})).computed is None
    start = started(make_job({"method": lora, "quantization": {"type": "nf4"}}))
    assert start.computed is not None
    weights = load_file(start.computed / "adapter_model.safetensors")
    a_matrices = [name for name in weights if "lora_A" in name]
    for name in a_matrices:
        product = weights[name.replace("lora_A", "lora_B")] @ weights[name]
        assert weights[name].abs().max() > 0
        assert product.abs().max() < 1e-6
    assert len(a_matrices) == 14


def test_a_start_from_the_data_is_computed_once(make_job: MakeJob) -> None:
    eva = {"method": {"type": "lora", "lora": {"rank": 4, "initialization": "eva"}}}
    draw = np.random.default_rng(0)
    samples = [draw.integers(0, 250, 20, dtype=np.int32) for _ in range(9)]
    tokens = [Tokens(ids, ids, Origin("made", 1)) for ids in samples]
    data = TokenizedDataset(tokens, DataFacts(9, 9, 180, 180))
    place = str(make_job().spec.model.path)
    first = prepare_method(make_job(eva), place, "fp32", data=data)
    assert first.computed is not None
    assert first.base == first.original
    written = (first.computed / "adapter_model.safetensors").stat().st_mtime_ns
    assert prepare_method(make_job(eva, attempt=2), place, "fp32", data=data) == first
    assert (first.computed / "adapter_model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(AssertionError, match="needs them"):
        started(make_job(eva))
