"""The benchmark `prompts`: questions of the user's own, with the answers that are expected.

A record holds `messages`, `prompt`, or `instruction` and maybe `input`; and `expected` (a text, or a list of
which any is right) or, as in training data, `output`, `completion` or the last turn of `messages`.
"""

from pathlib import Path
from typing import Final

from finetune_api.evaluation import BenchmarkSpec
from finetune_trainer.data.asking import Prompt, Turns
from finetune_trainer.data.examples import Record
from finetune_trainer.errors import DataError
from finetune_trainer.evaluation.matching import MATCHES, Score, TimedOutError
from finetune_trainer.evaluation.subject import Scored, Subject, mean, questions
from finetune_trainer.output.sample import turns_of, under

EXPECTED: Final = ("expected", "output", "completion")


def prompts(subject: Subject, spec: BenchmarkSpec, path: Path | None) -> Scored:
    """Asks every question after the solved examples, and compares; what takes too long to compare counts as
    wrong. Raises `DataError`."""
    records = questions(spec, path)
    solved, asked = records[: spec.few_shot], records[spec.few_shot :]
    match = MATCHES[spec.match]
    # all of it before the model is asked, which may take hours
    conversations = [_question(subject, solved, record) for record in asked]
    expectations = [_comparable(record, match) for record in asked]
    answers = subject.answers(conversations, spec.max_new_tokens)
    details, scores, late = [], [], []
    for record, text, wanted in zip(asked, answers, expectations, strict=True):
        detail = {"prompt": turns_of(record)[-1]["content"], "expected": wanted, "answer": text}
        try:
            scores.append(match(text, wanted))
        except TimedOutError as error:
            scores.append(error.scores)
            late.append(f"{record.origin}: {error}")
            detail["timedOut"] = str(error)
        details.append(detail | scores[-1])
    note = (
        f"{len(late)} of {len(asked)} count as wrong, since they took too long: {late[0]}" if late else None
    )
    return Scored(mean(scores), len(asked), details, note)


def expected(record: Record) -> list[str]:
    """The answers of which any is right. Raises `DataError`."""
    found = next((record.fields[name] for name in EXPECTED if record.fields.get(name) is not None), None)
    messages = record.fields.get("messages")
    if found is None and isinstance(messages, list) and messages and messages[-1]["role"] == "assistant":
        found = messages[-1]["content"]
    texts = found if isinstance(found, list) else [found]
    if not texts or not all(isinstance(text, str | int | float) for text in texts):
        raise DataError(f"{record.origin}: one of {', '.join(EXPECTED)} must say what is expected")
    return [str(text) for text in texts]


def _comparable(record: Record, match: Score) -> list[str]:
    """What is expected, of which the comparison has made sure that it can be compared with."""
    wanted = expected(record)
    try:
        match("", wanted)
    except TimedOutError:
        pass  # a pattern that ends for some answers
    except DataError as error:
        raise DataError(f"{record.origin}: {error}") from error
    return wanted


def _question(subject: Subject, solved: list[Record], record: Record) -> Prompt:
    turns: Turns = []
    for example in solved:
        turns += [*turns_of(example), {"role": "assistant", "content": expected(example)[0]}]
    turns += turns_of(record)
    if subject.answers_turns:
        return under(subject.system, turns)
    return "\n".join(turn["content"] for turn in turns) + "\n"
