"""How an answer is compared with what was expected: each way a function from 0 (wrong) to 1 (right)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import regex

from finetune_trainer.errors import DataError
from finetune_trainer.numbers_in_text import last_number, same_number

Score = Callable[[str, Sequence[str]], dict[str, float]]
"""Scores of an answer against the texts of which any is right."""

_UNSPACED: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"
WORD: Final = regex.compile(rf"(?V1){_UNSPACED}\p{{M}}*|(?:[[\p{{L}}\p{{N}}]--{_UNSPACED}]\p{{M}}*)+")
"""A run of letters and digits; in scripts that do not set words apart, a character."""

PATTERN_SECONDS: Final = 1.0
"""Longest search for a pattern: some patterns never end."""


class TimedOutError(Exception):
    """A comparison that took too long; the answer counts as wrong. The message says what took so long."""

    def __init__(self, message: str, scores: dict[str, float]) -> None:
        super().__init__(message)
        self.scores = scores


def exact(answer: str, expected: Sequence[str]) -> dict[str, float]:
    """The same text, white space at its ends aside."""
    return {"exactMatch": float(answer.strip() in {text.strip() for text in expected})}


def contains(answer: str, expected: Sequence[str]) -> dict[str, float]:
    """The expected text is somewhere in the answer. Raises `DataError` for a blank one, which is in all."""
    if not all(text.strip() for text in expected):
        raise DataError(f"match: contains: {expected} holds a blank text, which every answer contains")
    return {"contains": float(any(text.strip() in answer for text in expected))}


def pattern(answer: str, expected: Sequence[str]) -> dict[str, float]:
    """The expected text is a regular expression that is found in the answer. Raises `DataError` for one
    that is broken, and `TimedOutError`."""
    try:
        found = any(regex.search(text, answer, timeout=PATTERN_SECONDS) for text in expected)
    except TimeoutError as error:
        raise TimedOutError(
            f"match: regex: {expected} was searched for {PATTERN_SECONDS:g} s without an end",
            {"regexMatch": 0.0},
        ) from error
    except regex.error as error:
        raise DataError(f"match: regex: {expected} cannot be searched for: {error}") from error
    return {"regexMatch": float(found)}


def numeric(answer: str, expected: Sequence[str]) -> dict[str, float]:
    """The last number of the answer is that of the expected text, to a millionth. Raises `DataError` when
    nothing is expected that is a number."""
    wanted = [number for text in expected if (number := last_number(text)) is not None]
    if not wanted:
        raise DataError(f"match: numeric: {expected} holds no number")
    found = last_number(answer)
    close = found is not None and any(same_number(found, number) for number in wanted)
    return {"numericMatch": float(close)}


def rouge(answer: str, expected: Sequence[str]) -> dict[str, float]:
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) with stemming; of the text that fits best."""
    # a second of nltk and scipy, in every rank's start
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    kinds = ("rouge1", "rouge2", "rougeL")
    words = Words(DefaultTokenizer(use_stemmer=True).tokenize)
    found = RougeScorer(kinds, tokenizer=words).score_multi(list(expected), answer)
    return {kind: float(found[kind].fmeasure) for kind in kinds}


@dataclass(frozen=True)
class Words:
    """ROUGE's words of any script. The library's own tokenizer knows no letters but a to z: to it, texts in
    Greek have nothing in common."""

    of_english: Callable[[str], list[str]]
    """The library's, which stems."""

    def tokenize(self, text: str) -> list[str]:
        """In lower case and in their order; English ones without their endings."""
        words = WORD.findall(text.lower())
        return [each for word in words for each in (self.of_english(word) if word.isascii() else [word])]


MATCHES: Final[dict[str, Score]] = {
    "exact": exact,
    "contains": contains,
    "regex": pattern,
    "numeric": numeric,
    "rouge": rouge,
}
"""By `evaluation.benchmarks[].match`."""
