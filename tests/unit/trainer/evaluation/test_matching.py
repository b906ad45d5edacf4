"""How answers are compared with what was expected."""

import pytest
from rouge_score.tokenizers import DefaultTokenizer

from finetune_trainer.errors import DataError
from finetune_trainer.evaluation.matching import MATCHES, TimedOutError, Words


@pytest.mark.parametrize(
    ("match", "answer", "expected", "score"),
    [
        ("exact", " 2024-01-02\n", ["2024-01-02"], 1),
        ("exact", "2024-01-02.", ["2024-01-02"], 0),
        ("exact", "no", ["yes", "no"], 1),
        ("contains", "It is Paris, of course.", ["Paris"], 1),
        ("contains", "It is paris.", ["Paris"], 0),
        ("regex", "The year is 1984.", [r"\b19\d\d\b"], 1),
        ("regex", "The year is 2084.", [r"\b19\d\d\b"], 0),
        ("numeric", "3 + 4 = 7", ["7"], 1),
        ("numeric", "It costs 1,234.50 in all", ["1234.5"], 1),
        ("numeric", "about 1e-3", ["0.001"], 1),
        ("numeric", "7 or 8", ["7"], 0),
        ("numeric", "1,000.0", ["1000"], 1),
        ("numeric", "it is \u22125 degrees", ["-5"], 1),
        ("numeric", "it is 5 degrees", ["\u22125"], 0),
        ("numeric", "none at all", ["7"], 0),
        ("rouge", "the cat sat", ["the cat sat"], 1),
        ("rouge", "something else", ["the cat sat"], 0),
    ],
)
def test_a_match_says_how_right_an_answer_is(
    match: str, answer: str, expected: list[str], score: float
) -> None:
    found = MATCHES[match](answer, expected)
    assert set(found.values()) == {float(score)}


def test_rouge_gives_part_of_the_score_for_part_of_the_words() -> None:
    found = MATCHES["rouge"]("the cat sat on a mat", ["the cat sat"])
    assert found["rouge1"] == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert found["rouge2"] < found["rouge1"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Η γάτα κοιμάται.", "η γάτα κοιμάται"),
        ("кошка спит", "Кошка спит!"),
        ("猫が寝ている。", "猫が寝ている"),
    ],
)
def test_rouge_knows_words_of_every_script(answer: str, expected: str) -> None:
    assert set(MATCHES["rouge"](answer, [expected]).values()) == {1.0}
    assert MATCHES["rouge"](answer, ["何 другое άλλο"])["rouge1"] == 0.0


@pytest.mark.parametrize("text", ["The runners' “running” shoes ran — 3 naps", "cats, dogs_and 42 mice"])
def test_rouge_has_the_words_of_the_library_in_english(text: str) -> None:
    library = DefaultTokenizer(use_stemmer=True).tokenize
    assert Words(library).tokenize(text) == library(text)


def test_a_blank_text_is_contained_in_everything() -> None:
    with pytest.raises(DataError, match="blank text, which every answer contains"):
        MATCHES["contains"]("Paris", ["Paris", " "])


def test_a_pattern_that_is_broken_is_named() -> None:
    with pytest.raises(DataError, match=r"match: regex: \['\('\] cannot be searched for"):
        MATCHES["regex"]("a", ["("])


def test_an_answer_whose_pattern_never_ends_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_trainer.evaluation.matching.PATTERN_SECONDS", 0.05)
    with pytest.raises(TimedOutError, match=r"0\.05 s without an end") as late:
        MATCHES["regex"]("a" * 2000 + "!", ["(?:a+)+$"])
    assert late.value.scores == MATCHES["regex"]("a", ["b"])


def test_a_number_that_is_expected_must_be_one() -> None:
    with pytest.raises(DataError, match="holds no number"):
        MATCHES["numeric"]("7", ["seven"])
