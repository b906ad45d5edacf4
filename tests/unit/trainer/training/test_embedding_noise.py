"""NEFTune's noise on a document is the same whatever the document is batched with."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune_api import ResolvedJob
from finetune_trainer.data.dataset import Sample
from finetune_trainer.data.flat import flat
from finetune_trainer.training.embedding_noise import noisy_embeddings
from one_rank import train

MakeJob = Callable[..., ResolvedJob]

ALPHA, WIDTH = 5.0, 32
LENGTHS = (4, 25)
"""Of two documents in a batch."""


def documents() -> list[Sample]:
    ids = [np.arange(1, 1 + length, dtype=np.int32) for length in LENGTHS]
    return [Sample(input_ids=each, labels=each) for each in ids]


def padded(*, left: bool) -> dict[str, torch.Tensor]:
    longest = max(LENGTHS)
    ids, mask = torch.zeros(2, longest, dtype=torch.long), torch.zeros(2, longest, dtype=torch.long)
    for row, document in enumerate(documents()):
        length = len(document["input_ids"])
        place = slice(longest - length, None) if left else slice(length)
        ids[row, place], mask[row, place] = torch.from_numpy(document["input_ids"]).long(), 1
    return {"input_ids": ids, "attention_mask": mask}


def side_by_side() -> dict[str, Any]:
    batch = flat(documents())
    return {name: batch[name] for name in ("input_ids", "position_ids")}  # type: ignore[literal-required]


def alone() -> dict[str, Any]:
    return {"input_ids": torch.from_numpy(documents()[1]["input_ids"]).long()[None]}


def noise(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """The largest of many draws on each real token, in the order of the documents: shape (tokens,)."""
    embedded: list[torch.Tensor] = []
    embeddings = model.get_input_embeddings()
    with torch.no_grad(), noisy_embeddings(model, ALPHA):
        hook = embeddings.register_forward_hook(lambda _module, _args, output: embedded.append(output))
        for _ in range(50):
            model(**batch)
        hook.remove()
    away = (torch.stack(embedded) - embeddings(batch["input_ids"]).detach()).abs().amax(dim=(0, 3))
    return away[batch["attention_mask"] == 1] if "attention_mask" in batch else away.flatten()


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model).train()


@pytest.mark.parametrize(
    ("batch", "lengths"),
    [
        (padded(left=False), LENGTHS),
        (padded(left=True), LENGTHS),
        (side_by_side(), LENGTHS),
        (alone(), LENGTHS[1:]),
    ],
    ids=["padded", "padded on the left", "side by side", "alone"],
)
def test_noise_is_scaled_by_the_documents_own_length(
    model: Any, batch: dict[str, Any], lengths: tuple[int, ...]
) -> None:
    limits = torch.cat([torch.full((length,), ALPHA / math.sqrt(length * WIDTH)) for length in lengths])
    share = noise(model, batch) / limits
    assert float(share.max()) <= 1 + 1e-5
    assert float(share.min()) > 0.99, "1,600 draws a token come near to the limit"


def test_a_model_that_answers_has_no_noise(model: Any) -> None:
    assert not noise(model.eval(), alone()).any()


def test_nothing_is_left_on_the_model(model: Any) -> None:
    with noisy_embeddings(model, ALPHA):
        assert not torch.equal(model(**alone()).logits, model(**alone()).logits)
    assert torch.equal(model(**alone()).logits, model(**alone()).logits)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_has_the_noise_of_its_spec(make_job: MakeJob, tmp_path: Path, method: str) -> None:
    def loss(alpha: float | None) -> float:
        spec = {"method": {"type": method}, "training": {"maxSteps": 1, "neftuneNoiseAlpha": alpha}}
        return float(train(make_job(spec, run_directory=tmp_path / f"{alpha}")).metrics["loss"])

    plain = loss(None)
    assert loss(1e-9) == pytest.approx(plain, rel=1e-5)
    assert loss(100.0) != pytest.approx(plain, rel=1e-3)
