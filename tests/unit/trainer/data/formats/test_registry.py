"""The registry of formats."""

from typing import get_args

from finetune_api.dataset import DatasetSpec
from finetune_trainer.data.formats import FORMATS


def test_every_format_of_the_api_is_registered_under_its_own_name() -> None:
    formats = get_args(DatasetSpec.model_fields["format"].annotation)
    assert {name: format_.name for name, format_ in FORMATS.items()} == {name: name for name in formats}
