"""Tokenizers: trained ones lose nothing; every one can end an answer and render a conversation."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from finetune_api.model import ModelSpec, TokenizerSpec, TokenizerTrainSpec
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.model.tokenizers import (
    CHATML,
    PLAIN,
    complete_tokenizer,
    load_tokenizer,
    train_tokenizer,
)

TEXTS = ["def add(a, b):\n    return a + b\n" * 5, "the year 1984 and the year 2026 " * 5]


def test_any_text_comes_back_unchanged(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=300)).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "  naïve 日本語 \t\n\n def f(x): return x ** 2  # 🙂 "
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_digits_are_split_when_asked_for() -> None:
    split = train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=400))
    assert len(split.encode("1984")) == 4
    whole = train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=400, split_digits=False))
    assert len(whole.encode("1984")) < 4


def test_the_vocabulary_is_no_larger_than_asked_for() -> None:
    assert len(train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=280))) <= 280


def test_training_twice_gives_the_same_tokenizer() -> None:
    one, two = (train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=320)).get_vocab() for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("spec", "use_chat_template", "expected"),
    [
        (TokenizerSpec(), True, CHATML),
        (TokenizerSpec(), False, PLAIN),
        (TokenizerSpec(chat_template="{{ messages }}"), True, "{{ messages }}"),
        (TokenizerSpec(chat_template_name="chatml"), True, CHATML),
    ],
)
def test_the_chat_template_is_the_specs_or_a_default(
    spec: TokenizerSpec, use_chat_template: bool, expected: str
) -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=280))
    model = ModelSpec(path="/m", tokenizer=spec)
    assert complete_tokenizer(tokenizer, model, use_chat_template=use_chat_template).chat_template == expected


def test_the_models_own_chat_template_is_kept() -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=280))
    tokenizer.chat_template = "own"
    model = ModelSpec(path="/m")
    assert complete_tokenizer(tokenizer, model, use_chat_template=True).chat_template == "own"


def test_a_tokenizer_without_an_end_token_is_refused() -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerTrainSpec(vocab_size=280))
    tokenizer.eos_token = None
    with pytest.raises(InvalidConfigError, match="it has no end token"):
        complete_tokenizer(tokenizer, ModelSpec(path="/m"), use_chat_template=True)


def test_a_directory_without_a_tokenizer_is_a_model_load_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="holds no tokenizer that loads"):
        load_tokenizer(ModelSpec(path=str(tmp_path)), base=str(tmp_path), revision=None)
