"""Pairs of answers: both or neither, and side by side in a batch."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import ResolvedJob
from finetune_api.dataset import ColumnsSpec, PreprocessingSpec
from finetune_api.model import ModelSpec
from finetune_trainer.data import preferences
from finetune_trainer.data.examples import Example, Origin, Record
from finetune_trainer.data.formats.preference import parse
from finetune_trainer.data.making import in_memory
from finetune_trainer.data.preferences import PairedDataset
from finetune_trainer.data.rendering import IGNORED, Renderer
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import Tokenizer, complete_tokenizer, load_tokenizer


@pytest.fixture
def tokenizer(tiny_model: Path) -> Tokenizer:
    model = ModelSpec(path=str(tiny_model))
    return complete_tokenizer(
        load_tokenizer(model, base=str(tiny_model), revision=None), model, use_chat_template=True
    )


def preference(line: int, **fields: object) -> Example:
    return parse(Record(Origin("f", line), fields), ColumnsSpec())


Pairs = Callable[..., PairedDataset]


@pytest.fixture
def pairs(tokenizer: Tokenizer, make_job: Callable[[], ResolvedJob]) -> Pairs:
    def made(*examples: Example, max_length: int = 64, overlong: str = "truncate") -> PairedDataset:
        spec = PreprocessingSpec.from_json_object({"overlong": overlong})
        recipe = preferences.pairs(make_job(), Renderer(tokenizer, spec, max_length, "answers"))
        return recipe.wrap(in_memory(recipe.make(examples, 1)))

    return made


SHORT = preference(1, prompt="add 1 and 2", chosen="3", rejected="4 and 5")


def test_a_prompt_may_be_explicit_or_what_both_answers_start_with(pairs: Pairs) -> None:
    ask = {"role": "user", "content": "add 1 and 2"}
    implicit = preference(
        1,
        chosen=[ask, {"role": "assistant", "content": "3"}],
        rejected=[ask, {"role": "assistant", "content": "4 and 5"}],
    )
    one, two = pairs(SHORT)[0], pairs(implicit)[0]
    for side in (0, 1):
        assert one[side]["input_ids"].tolist() == two[side]["input_ids"].tolist()
        assert one[side]["labels"].tolist() == two[side]["labels"].tolist()


def test_a_batch_holds_the_chosen_answers_and_then_the_others(tokenizer: Tokenizer, pairs: Pairs) -> None:
    data = pairs(SHORT, preference(2, prompt="a", chosen="add", rejected="and"))
    batch = data.collate([data[0], data[1], data[2]], pad_id=0)
    learned = [tokenizer.decode(row[row != IGNORED]).removesuffix("<|endoftext|>") for row in batch["labels"]]
    # the third pair is a filler
    assert learned == ["3", "add", "", "4 and 5", "and", ""]
    assert data.tokens_in([0, 2]) == sum(len(side["input_ids"]) for side in data[0])
    assert [origin.line for origin in data.origins([1, 2])] == [2]


@pytest.mark.parametrize("overlong", ["truncate", "drop"])
def test_a_pair_one_side_of_which_has_no_room_is_left_out_whole(pairs: Pairs, overlong: str) -> None:
    long = preference(2, prompt="add " * 40, chosen="3", rejected="4")
    data = pairs(long, SHORT, max_length=40, overlong=overlong)
    assert (len(data), data.facts.records, data.facts.truncated) == (1, 2, 1)
    assert [origin.line for origin in data.origins([0])] == [1]


def test_no_pair_at_all_is_an_error(pairs: Pairs) -> None:
    with pytest.raises(DataError, match="none of 1 records trains on anything: 1 were longer than"):
        pairs(SHORT, max_length=8)


def test_a_part_holds_whole_pairs(pairs: Pairs) -> None:
    data = pairs(*(preference(line, prompt="a", chosen="1" * line, rejected="2") for line in (1, 2, 3)))
    part = data.part([2, 0])
    assert [origin.line for origin in part.origins([0, 1])] == [3, 1]
    assert part.lengths() == [data.lengths()[2], data.lengths()[0]]
