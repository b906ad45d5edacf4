"""Sets larger than memory: tokenised onto disk as they are read, then looked at where they are needed."""

import json
import multiprocessing
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from finetune_api import ResolvedJob
from finetune_trainer.data import stored
from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.recipes import prepare
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import CHATML
from memory_growth import growth

MakeJob = Callable[..., ResolvedJob]

SPARE_BYTES = 24 << 20
"""What the bounded process may take beyond what it has."""

SEQUENCE = 4096
SEQUENCES = 4 * SPARE_BYTES // (8 * SEQUENCE)
"""Four times the memory that is allowed, at 8 bytes per token."""


def prepared(job: ResolvedJob, tiny_model: Path) -> tuple[Any, TokenizedDataset | None]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = CHATML
    spec = job.spec.dataset
    return prepare(job, lambda: load_examples(spec, spec.train, job.paths.train), tokenizer)


def plain(data: TokenizedDataset) -> list[tuple[list[int], list[int], Origin, int]]:
    return [(item.ids.tolist(), item.labels.tolist(), item.origin, item.cut) for item in data.sequences]


@pytest.mark.parametrize(
    "spec",
    [
        {"dataset": {"preprocessing": {"workers": 1}}},
        {"dataset": {"preprocessing": {"workers": 2}}},
        {"training": {"maxSequenceLength": 20}},
        {"training": {"maxSequenceLength": 20}, "dataset": {"preprocessing": {"overlong": "drop"}}},
    ],
    ids=["one process", "two processes", "cut", "dropped"],
)
def test_a_stream_holds_what_the_same_data_in_memory_does(
    make_job: MakeJob,
    tmp_path: Path,
    tiny_model: Path,
    write_jsonl: Callable[..., Path],
    spec: dict[str, Any],
) -> None:
    write_jsonl([{"instruction": "a", "output": "b" * (1 + number % 9)} for number in range(50)])
    what = {name: dict(part) for name, part in spec.items()}
    in_memory, _ = prepared(make_job(what, run_directory=tmp_path / "one"), tiny_model)
    what["dataset"] = what.get("dataset", {}) | {"streaming": True}
    streamed, _ = prepared(make_job(what, run_directory=tmp_path / "two"), tiny_model)
    assert isinstance(streamed.sequences, stored.StoredSequences)
    assert plain(streamed) == plain(in_memory)
    assert streamed.facts == in_memory.facts


def test_text_is_cut_alike_whether_it_is_in_memory_or_not(
    make_job: MakeJob, tmp_path: Path, tiny_model: Path
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(5):
        (texts / f"{number}.txt").write_text("add 1 and 2 " * (number + 1))
    what: dict[str, Any] = {
        "training": {"stage": "pretrain", "maxSequenceLength": 16},
        "dataset": {"format": "text", "train": {"path": str(texts)}},
    }
    in_memory, _ = prepared(make_job(what, run_directory=tmp_path / "one"), tiny_model)
    what["dataset"]["streaming"] = True
    streamed, _ = prepared(make_job(what, run_directory=tmp_path / "two"), tiny_model)
    assert plain(streamed) == plain(in_memory)
    assert streamed.facts == in_memory.facts


def test_broken_records_are_told_after_the_whole_stream(
    make_job: MakeJob, tiny_model: Path, write_jsonl: Callable[..., Path]
) -> None:
    write_jsonl([{"instruction": "a"}] * 7 + [{"instruction": "a", "output": "b"}])
    with pytest.raises(DataError, match=r"7 of 8 records cannot be used: .*line 5.*; and 2 more$"):
        prepared(make_job({"dataset": {"streaming": True}}), tiny_model)


def large() -> Iterator[Tokens]:
    for number in range(SEQUENCES):
        ids = np.full(SEQUENCE, number, dtype=np.int32)
        yield Tokens(ids, ids, Origin("large", number))


def bounded(work: Callable[[Path], bool], directory: Path) -> bool:
    """Whether work is done in a process that may take only so much more memory than it begins with."""
    process = multiprocessing.get_context("fork").Process(target=_limited, args=(work, directory))
    process.start()
    process.join()
    return process.exitcode == 0


def _limited(work: Callable[[Path], bool], directory: Path) -> None:
    taken = [np.empty(SEQUENCE, np.int32)]
    begin = _data_bytes()
    while _data_bytes() == begin:  # what earlier tests have freed is there without asking the kernel
        taken += [np.empty(SEQUENCE, np.int32) for _ in range(64)]
    limit = _data_bytes() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    raise SystemExit(0 if work(directory) else 1)


def _data_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmData"].split()[0]) * 1024


def write_and_read(directory: Path) -> bool:
    stored.write(directory, large())
    sequences = stored.read(directory)
    return len(sequences) == SEQUENCES and all(
        int(sequences[number].ids[0]) == number for number in range(SEQUENCES)
    )


def hold(_directory: Path) -> bool:
    return len(list(large())) == SEQUENCES


def test_a_set_four_times_as_large_as_memory_is_written_and_read(tmp_path: Path) -> None:
    assert bounded(write_and_read, tmp_path)
    assert not bounded(hold, tmp_path), "the limit is one that the set in memory does not keep"


LETTERS = "abcdefghijklmnopqrstuvwxyz"
LETTERS_PER_RECORD = 2000
RECORDS = 1500
TOKEN_BYTES = 8 * RECORDS * LETTERS_PER_RECORD
"""What the tokens take alone: one per letter, with an id and a label of 4 bytes each."""


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "memory"])
def test_memory_does_not_grow_with_a_file_that_is_read_rendered_tokenised_and_stored(
    make_job: MakeJob, tmp_path: Path, tiny_model: Path, *, streaming: bool
) -> None:
    """The same file without streaming shows that the bound is one that can be broken."""
    chance = random.Random(0)

    def job(name: str, records: int) -> ResolvedJob:
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            for number in range(records):
                answer = "".join(chance.choices(LETTERS, k=LETTERS_PER_RECORD))
                file.write(json.dumps({"instruction": f"record {number}", "output": answer}) + "\n")
        what = {
            "training": {"maxSequenceLength": 2 * LETTERS_PER_RECORD},
            "dataset": {
                "train": {"path": str(tmp_path / f"{name}.jsonl")},
                "streaming": streaming,
                "preprocessing": {"workers": 1},
            },
        }
        return make_job(what, run_directory=tmp_path / name)

    grown = growth(job("large", RECORDS), job("small", RECORDS // 4), tiny_model, tmp_path / "grown")
    assert (grown < TOKEN_BYTES / 2) == streaming
