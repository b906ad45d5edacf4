"""Checks of quality: enough examples, lengths that batch well, clean text, variety, answers that end."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from finetune_trainer.data.check.report import Part, Remark, Steps
from finetune_trainer.data.examples import Conversation, Document, Example, turns

FEW_EXAMPLES = 50
"""Below this an adapter learns the wording of its examples, hardly more."""
FAIRLY_FEW_EXAMPLES = 100
UNEVEN = 0.6
"""Share of computed tokens that are real, below which padding is worth a remark."""
MANY = 0.05
"""Share of the records from which on a flaw is worth a remark."""

MOJIBAKE = re.compile("Ã[\u0080-\u00bf]|â€|Â[\u00a0-\u00bf]|\ufffd")
"""UTF-8 that was read as Latin-1 or Windows-1252, and characters that were lost on the way."""


def remarks(
    train: Part,
    evaluation: Part | None,
    steps: Steps | None,
    overlap: int,
    examples: Sequence[Example],
    lost: Sequence[tuple[str, str]] = (),
) -> list[Remark]:
    """What is worth saying, errors first; `lost` are fields with columns that no record has."""
    found = [*_lost(lost), *_broken(train), *_broken(evaluation), *_continues(train), *_continues(evaluation)]
    found += [*_size(train), *_limit(train), *_answers(train, examples)]
    found += [*_repetition(train, examples), *_text(examples), *_padding(steps), *_overlap(overlap)]
    order = ("error", "warning", "suggestion")
    return sorted(found, key=lambda remark: order.index(remark.severity))


def _broken(part: Part | None) -> Iterator[Remark]:
    if part is not None and part.broken:
        yield Remark(
            "error",
            "BrokenRecords",
            f"{part.broken} of {part.records + part.broken} records of {part.name} cannot be used",
            "Mend or remove them; a run ends at the first broken record",
        )
    if part is not None and not part.sequences:
        yield Remark(
            "error", "NothingToLearn", f"no record of {part.name} trains on anything", "Look at the data"
        )


def _lost(columns: Sequence[tuple[str, str]]) -> Iterator[Remark]:
    for field, column in columns:
        what = f"{field}: no record has {column!r}"
        yield Remark("error", "ColumnNotFound", what, "Correct the name, or leave it out")


def _continues(part: Part | None) -> Iterator[Remark]:
    if part is not None and part.continues:
        yield Remark(
            "suggestion",
            "FirstRecordsOnly",
            f"the first {part.records + part.broken} records of {part.name} were looked at, and are what is "
            "counted: dataset.streaming says that memory does not hold the whole",
            "Check with dataset.streaming: false where memory does",
        )


def _size(train: Part) -> Iterator[Remark]:
    if train.records < FEW_EXAMPLES:
        remedy = f"Gather at least {FEW_EXAMPLES} to {FAIRLY_FEW_EXAMPLES}"
        yield Remark("warning", "FewExamples", f"{train.records} examples are few", remedy)
    elif train.records < FAIRLY_FEW_EXAMPLES:
        remedy = "Hold some out (dataset.evalSplit) and watch the evaluation loss"
        yield Remark("suggestion", "FewExamples", f"{train.records} examples are enough to start", remedy)


def _limit(train: Part) -> Iterator[Remark]:
    share = train.truncated / max(1, train.records)
    if train.truncated and train.drawn:
        yield Remark(
            "warning" if share >= MANY else "suggestion",
            "NoRoomForAnswers",
            f"{train.truncated} prompts ({share:.1%}) are longer than training.maxSequenceLength less "
            "sampling.maxNewTokens and are left out",
            "Raise training.maxSequenceLength, lower sampling.maxNewTokens, or shorten these prompts",
        )
    elif train.truncated:
        yield Remark(
            "warning" if share >= MANY else "suggestion",
            "LongRecords",
            f"{train.truncated} records ({share:.1%}) are longer than training.maxSequenceLength: "
            f"{train.cut_tokens} tokens are lost, {train.cut_supervised_tokens} of them supervised",
            "Raise training.maxSequenceLength, or split these records",
        )
    if train.unsupervised:
        yield Remark(
            "warning",
            "TrainsOnNothing",
            f"{train.unsupervised} records train on nothing and are left out",
            "Shorten their prompts, or raise training.maxSequenceLength",
        )


def _answers(train: Part, examples: Sequence[Example]) -> Iterator[Remark]:
    # text that is cut into sequences ends anywhere; so does what the limit cut
    missing = 0 if train.drawn else train.sequences - train.ended - train.truncated
    if missing > 0 and any(isinstance(example, Conversation) for example in examples):
        yield Remark(
            "warning",
            "EndNotLearned",
            f"{missing} sequences do not end in a supervised end token: the model may not learn to stop",
            "Set dataset.preprocessing.addEosToken: true, or use a template that closes its turns",
        )


def _repetition(train: Part, examples: Sequence[Example]) -> Iterator[Remark]:
    if train.duplicates:
        share = train.duplicates / max(1, train.records)
        yield Remark(
            "warning" if share >= MANY else "suggestion",
            "Duplicates",
            f"{train.duplicates} records ({share:.1%}) say the same as an earlier one",
            "Remove them: what is repeated is learned by heart",
        )
    answers = Counter(_answer(example) for example in examples if isinstance(example, Conversation))
    if not answers:
        return
    answer, times = answers.most_common(1)[0]
    if times > 2 and times / len(examples) >= 0.5:
        shown = answer if len(answer) <= 40 else f"{answer[:40]}…"
        yield Remark(
            "suggestion",
            "SameAnswer",
            f"{times / len(examples):.0%} of the records have the same answer ({shown!r})",
            "Add other answers, unless this is a label that is that frequent",
        )


def _text(examples: Iterable[Example]) -> Iterator[Remark]:
    garbled: list[str] = []
    control: list[str] = []
    for example in examples:
        text = (
            example.text
            if isinstance(example, Document)
            else "\n".join(message.content for message in turns(example))
        )
        if MOJIBAKE.search(text):
            garbled.append(str(example.origin))
        if any(unicodedata.category(sign) == "Cc" and sign not in "\n\r\t" for sign in set(text)):
            control.append(str(example.origin))
    if garbled:
        yield Remark(
            "warning",
            "GarbledText",
            f"{len(garbled)} records hold text that was decoded wrongly, as in Ã© for é ({garbled[0]})",
            "Read the source as UTF-8 and write it again",
        )
    if control:
        yield Remark(
            "suggestion",
            "ControlCharacters",
            f"{len(control)} records hold control characters ({control[0]})",
            "Remove them, unless they belong to the text",
        )


def _padding(steps: Steps | None) -> Iterator[Remark]:
    if steps is not None and steps.packed_sequences is None and steps.filled_share < UNEVEN:
        yield Remark(
            "suggestion",
            "UnevenLengths",
            f"lengths differ so much that {1 - steps.filled_share:.0%} of what is computed is padding",
            "Set dataset.packing: true, or training.sampling: groupByLength",
        )


def _overlap(overlap: int) -> Iterator[Remark]:
    if overlap:
        yield Remark(
            "warning",
            "TrainEvalOverlap",
            f"{overlap} evaluation records are in the training data too: the evaluation loss will flatter",
            "Remove them from one of the two",
        )


def _answer(example: Conversation) -> str:
    return next((turn.content for turn in reversed(example.messages) if turn.role == "assistant"), "")
