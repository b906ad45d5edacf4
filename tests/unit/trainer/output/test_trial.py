"""How a model from files is compared with the one that was written."""

import math

import torch

from finetune_trainer.output.trial import relative_difference


def test_a_difference_is_a_share_of_the_largest_value() -> None:
    assert relative_difference(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 4.0])) == 0.25


def test_what_is_no_number_is_no_difference() -> None:
    assert math.isnan(relative_difference(torch.tensor([math.nan]), torch.tensor([1.0])))
    assert math.isnan(relative_difference(torch.tensor([1.0]), torch.tensor([math.nan])))
