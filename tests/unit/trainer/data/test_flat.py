"""Flat batches: all documents of a micro-batch in one row, without padding."""

import numpy as np

from finetune_trainer.data.dataset import Sample
from finetune_trainer.data.flat import flat
from finetune_trainer.data.packed import join
from finetune_trainer.data.rendering import IGNORED


def document(*ids: int) -> Sample:
    array = np.array(ids, dtype=np.int32)
    return Sample(input_ids=array, labels=array.copy())


def test_records_and_packs_lie_side_by_side() -> None:
    batch = flat([document(1, 2, 3), join([document(4, 5), document(6, 7)])])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 5, 7]
    assert batch["use_cache"] is False


def test_no_document_is_predicted_from_another() -> None:
    batch = flat([document(1, 2, 3), document(4, 5)])
    assert batch["labels"].tolist() == [[IGNORED, 2, 3, IGNORED, 5]]


def test_the_records_stay_as_they_are() -> None:
    record = document(1, 2)
    flat([record])
    assert record["labels"].tolist() == [1, 2]
