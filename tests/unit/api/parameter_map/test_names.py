"""Who writes a name of another program is told ours, by the validator and by `finetune explain`."""

import pytest

from finetune_api.parameter_map.names import fields_called
from finetune_api.validation import check_manifest


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("batch_size", ("training.microBatchSize",)),
        ("batchSize", ("training.microBatchSize",)),
        ("r", ("method.lora.rank",)),
        ("snr_threshold", ("method.spectrum.topFraction",)),
        ("dataset", ("dataset.train.upload", "dataset.train.path")),
        ("lr", ("training.learningRate",)),
        ("nothing", ()),
    ],
)
def test_a_name_of_the_documents_leads_to_our_fields(name: str, paths: tuple[str, ...]) -> None:
    assert fields_called(name) == paths


@pytest.mark.parametrize(
    ("section", "name", "remedy"),
    [
        ("training", "learning_rate", "Did you mean learningRate?"),
        ("training", "batch_size", "Did you mean microBatchSize?"),
        ("training", "warmup_steps", "Did you mean schedule.warmupSteps?"),
        ("training", "zero_stage", "Did you mean distributed.zeroStage?"),
        ("training", "epoch", "Did you mean epochs?"),
    ],
)
def test_an_unknown_field_is_answered_with_what_it_is_called_here(
    section: str, name: str, remedy: str
) -> None:
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "job"},
        "spec": {"model": {"id": "org/model"}, "dataset": {"train": {"path": "/data"}}, section: {name: 1}},
    }
    (finding,) = check_manifest(manifest)[1]
    assert (finding.path, finding.remedy) == (f"{section}.{name}", remedy)
