"""Rules and advice of the documents: each is followed somewhere."""

import pytest

from finetune_api.parameter_map import DOCUMENTS
from finetune_api.parameter_map.advice import ADVICE
from finetune_api.parameter_map.page import parameter_map_page
from finetune_api.validation import Code

WIZARD_RULES = (
    Code.NOT_EXACTLY_ONE,
    Code.OUT_OF_RANGE,
    Code.QUANTIZATION_CONFLICT,
    Code.REQUIRES,
    Code.QLORA_WITHOUT_QUANTIZATION,
    Code.SMALL_EFFECTIVE_BATCH,
    Code.HIGH_LEARNING_RATE,
    Code.LOCAL_PROVIDER,
    Code.NO_TRACKER,
)


def test_every_document_gives_advice():
    assert list(ADVICE) == [document.name for document in DOCUMENTS]


@pytest.mark.parametrize("code", WIZARD_RULES)
def test_every_rule_of_the_wizard_has_a_finding(code):
    assert code in [advice.place for advice in ADVICE["wizard"]]


def test_every_piece_of_advice_is_on_the_page():
    page = parameter_map_page()
    for document in ADVICE.values():
        for advice in document:
            assert advice.place
            assert f"| {advice.text} |" in page
