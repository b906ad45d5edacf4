"""Sequences and batches: what is cut, left out, held out and padded."""

from pathlib import Path

import numpy as np
import pytest

from finetune_api.dataset import PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data.dataset import (
    DataFacts,
    TokenizedDataset,
    collate,
    split,
    tokenize,
    tokenize_as_stream,
)
from finetune_trainer.data.examples import Conversation, Document, Message, Origin
from finetune_trainer.data.rendering import IGNORED, Renderer, Tokens
from finetune_trainer.errors import DataError
from finetune_trainer.tokenizers import Tokenizer, complete_tokenizer, load_tokenizer

FACTS = DataFacts(records=0, sequences=0, tokens=0, supervised_tokens=0)


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


def sequence(*ids: int, line: int = 1) -> Tokens:
    array = np.array(ids, dtype=np.int32)
    return Tokens(array, array.copy(), Origin("f", line))


def sequences(count: int) -> TokenizedDataset:
    return TokenizedDataset([sequence(*range(1, 3 + i), line=i) for i in range(count)], FACTS)


def test_records_that_train_on_nothing_are_left_out_and_counted(tokenizer: Tokenizer) -> None:
    data = tokenize([conversation("a"), conversation("a" * 300, 2)], renderer(tokenizer))
    assert len(data) == 1
    assert data.facts.records == 2
    assert data.facts.unsupervised == data.facts.truncated == 1
    assert data.facts.cut_tokens > 0


def test_overlong_records_may_be_dropped_whole(tokenizer: Tokenizer) -> None:
    long_answer = Conversation(Origin("f", 2), (Message("user", "a"), Message("assistant", "b" * 300)))
    examples = [conversation("a"), long_answer]
    assert len(tokenize(examples, renderer(tokenizer))) == 2
    assert len(tokenize(examples, renderer(tokenizer, overlong="drop"))) == 1


@pytest.mark.parametrize("overlong", ["truncate", "drop"])
def test_what_is_lost_to_the_limit_is_counted_and_said(
    tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture, overlong: str
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


def test_data_that_trains_on_nothing_at_all_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="none of 1 records trains on anything"):
        tokenize([conversation("a" * 300)], renderer(tokenizer))


def test_pretraining_text_is_one_stream_with_an_end_token_between_documents(tokenizer: Tokenizer) -> None:
    documents = [
        Document(Origin(name, 0), text) for name, text in [("a", "x = 1\n" * 20), ("b", "y = 2\n" * 20)]
    ]
    data = tokenize_as_stream(documents, Renderer(tokenizer, PreprocessingSpec(), 16, "all"))
    joined = np.concatenate([tokens.ids for tokens in data.sequences])
    end = tokenizer.eos_token
    assert tokenizer.decode(joined) == "x = 1\n" * 20 + end + "y = 2\n" * 20 + end
    assert all(len(tokens.ids) == 16 for tokens in data.sequences[:-1])
    assert data.sequences[0].origin.file == "a"
    assert data.sequences[-1].origin.file == "b"


def test_held_out_sequences_are_not_trained_on_and_stay_the_same() -> None:
    data = sequences(20)
    train, held_out = split(data, 0.25, seed=3)
    assert held_out is not None
    lines = [tokens.origin.line for tokens in train.sequences], [t.origin.line for t in held_out.sequences]
    assert len(lines[0]) == 15
    assert sorted(lines[0] + lines[1]) == list(range(20))
    again = split(data, 0.25, seed=3)[1]
    assert again is not None
    assert [tokens.origin.line for tokens in again.sequences] == lines[1]


def test_nothing_is_held_out_unless_asked_for() -> None:
    data = sequences(3)
    assert split(data, 0.0, seed=0) == (data, None)


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(DataError, match="leaves none to train on"):
        split(sequences(1), 0.5, seed=0)


def test_a_batch_is_padded_on_the_right_and_padding_is_neither_seen_nor_learned() -> None:
    data = sequences(2)
    batch = collate([data[0], data[1]], pad_id=9)
    assert batch["input_ids"].tolist() == [[1, 2, 9], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[1, 2, IGNORED], [1, 2, 3]]


def test_indices_behind_the_end_are_fillers_on_which_nothing_is_learned() -> None:
    data = sequences(2)
    assert (data[2]["labels"] == IGNORED).all()
    assert data.tokens_in([0, 1, 2, 3]) == 5
    assert [origin.line for origin in data.origins([1, 2])] == [1]
