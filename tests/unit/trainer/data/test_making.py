"""From examples to sequences: what is cut, left out and counted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from finetune_api import ResolvedJob
from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.examples import Conversation, Document, Example, Message, Origin
from finetune_trainer.data.making import conversations, documents, in_memory
from finetune_trainer.data.rendering import Renderer, Tokens
from finetune_trainer.data.sieve import cut_stream
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer, complete_tokenizer, load_tokenizer

Tokenize = Callable[[list[Example], Renderer], TokenizedDataset]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    model = ModelSpec(path=str(tiny_model))
    return complete_tokenizer(
        load_tokenizer(model, base=str(tiny_model), revision=None), model, use_chat_template=True
    )


def renderer(tokenizer: Tokenizer, max_length: int = 100, **preprocessing: object) -> Renderer:
    return Renderer(tokenizer, PreprocessingSpec.from_json_object(preprocessing), max_length, "answers")


def conversation(question: str, line: int = 1) -> Conversation:
    return Conversation(Origin("f", line), (Message("user", question), Message("assistant", "ok")))


@pytest.fixture
def tokenize(make_job: Callable[[], ResolvedJob]) -> Tokenize:
    def made(examples: list[Example], renderer: Renderer) -> TokenizedDataset:
        return in_memory(conversations(make_job(), renderer).make(examples, 1))

    return made


def test_records_that_train_on_nothing_are_left_out_and_counted(
    tokenizer: Tokenizer, tokenize: Tokenize
) -> None:
    data = tokenize([conversation("a"), conversation("a" * 300, 2)], renderer(tokenizer))
    assert len(data) == 1
    assert data.facts.records == 2
    assert data.facts.unsupervised == data.facts.truncated == 1
    assert data.facts.cut_tokens > 0


def test_overlong_records_may_be_dropped_whole(tokenizer: Tokenizer, tokenize: Tokenize) -> None:
    long_answer = Conversation(Origin("f", 2), (Message("user", "a"), Message("assistant", "b" * 300)))
    examples = [conversation("a"), long_answer]
    assert len(tokenize(examples, renderer(tokenizer))) == 2
    assert len(tokenize(examples, renderer(tokenizer, overlong="drop"))) == 1


@pytest.mark.parametrize("overlong", ["truncate", "drop"])
def test_what_is_lost_to_the_limit_is_counted_and_said(
    tokenizer: Tokenizer, tokenize: Tokenize, caplog: pytest.LogCaptureFixture, overlong: str
) -> None:
    long_answer = Conversation(Origin("f", 2), (Message("user", "a"), Message("assistant", "b" * 300)))
    examples = [conversation("a"), long_answer]
    whole = tokenize(examples, renderer(tokenizer, 1000)).facts
    data = tokenize(examples, renderer(tokenizer, overlong=overlong))
    assert data.facts.truncated == 1
    assert data.facts.cut_tokens == whole.tokens - data.facts.tokens
    assert data.facts.cut_supervised_tokens == whole.supervised_tokens - data.facts.supervised_tokens > 0
    assert f"{data.facts.cut_tokens} tokens are lost" in caplog.text
    assert "(f, line 2)" in caplog.text


def test_data_that_trains_on_nothing_at_all_is_an_error(tokenizer: Tokenizer, tokenize: Tokenize) -> None:
    with pytest.raises(DataError, match="none of 1 records trains on anything"):
        tokenize([conversation("a" * 300)], renderer(tokenizer))


def test_pretraining_text_is_one_stream_with_an_end_token_between_documents(
    tokenizer: Tokenizer, make_job: Callable[[], ResolvedJob]
) -> None:
    texts = [Document(Origin(name, 0), text) for name, text in [("a", "x = 1\n" * 20), ("b", "y = 2\n" * 20)]]
    recipe = documents(make_job(), Renderer(tokenizer, PreprocessingSpec(), 16, "all"))
    data = in_memory(recipe.make(texts, 1))
    joined = np.concatenate([tokens.ids for tokens in data.sequences])
    end = tokenizer.eos_token
    assert tokenizer.decode(joined) == "x = 1\n" * 20 + end + "y = 2\n" * 20 + end
    assert all(len(tokens.ids) == 16 for tokens in data.sequences[:-1])
    assert data.sequences[0].origin.file == "a"
    assert data.sequences[-1].origin.file == "b"


def test_a_sequence_comes_from_where_its_first_token_does() -> None:
    parts = [
        Tokens(np.full(length, number, np.int32), np.full(length, number, np.int32), Origin("f", number))
        for number, length in enumerate([3, 0, 6, 1, 4], start=1)
    ]
    cut = [(item.ids.tolist(), item.origin.line) for item in cut_stream(parts, 4)]
    assert cut == [([1, 1, 1, 3], 1), ([3, 3, 3, 3], 3), ([3, 4, 5, 5], 3), ([5, 5], 5)]
