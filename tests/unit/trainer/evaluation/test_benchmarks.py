"""Benchmarks on a model that answers by rule, and lm-evaluation-harness on a tiny real one."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_api import ResolvedJob
from finetune_api.evaluation import BenchmarkSpec
from finetune_trainer.data.asking import Prompt
from finetune_trainer.errors import DataError, InterruptedRunError, InvalidConfigError
from finetune_trainer.evaluation import benchmarks
from finetune_trainer.evaluation.benchmarks import Benchmarks
from finetune_trainer.evaluation.harness import harness
from finetune_trainer.evaluation.human_eval import human_eval
from finetune_trainer.evaluation.prompts import prompts
from finetune_trainer.evaluation.subject import Scored, Subject
from finetune_trainer.output.merge import Base

WriteJsonl = Callable[..., Path]


class Calculator(Subject):
    """Answers what a function says, and remembers what it was asked."""

    def __init__(self, rule: Callable[[str], str], *, answers_turns: bool = True) -> None:
        self.rule = rule
        self.answers_turns = answers_turns
        self.system = None
        self.asked: list[Prompt] = []

    def answers(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[str]:  # noqa: ARG002
        self.asked.extend(prompts)
        return [self.rule(_last_text(prompt)) for prompt in prompts]


def _last_text(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def spec(**fields: Any) -> BenchmarkSpec:
    return BenchmarkSpec.from_json_object({"name": "b", "type": "prompts"} | fields)


def test_each_question_is_scored_and_written_down(write_jsonl: WriteJsonl) -> None:
    file = write_jsonl(
        [
            {"prompt": "1+1", "expected": "2"},
            {"instruction": "1+2", "output": "3"},
            {"messages": [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]},
            {"prompt": "0.5+0.5", "expected": [1, "one"]},
        ]
    )
    subject = Calculator(lambda text: "3" if text == "1+2" else "4" if text == "2+2" else "no")
    found = prompts(subject, spec(), file)
    assert (found.scores, found.samples) == ({"exactMatch": 0.5}, 4)
    assert [line["exactMatch"] for line in found.details] == [0, 1, 1, 0]
    assert found.details[3]["expected"] == ["1", "one"]


def test_a_pattern_that_never_ends_costs_its_own_question_alone(
    write_jsonl: WriteJsonl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_trainer.evaluation.matching.PATTERN_SECONDS", 0.05)
    file = write_jsonl([{"prompt": "q", "expected": pattern} for pattern in ("a!", "(?:a+)+$", "^a")])
    found = prompts(Calculator(lambda _text: "a" * 2000 + "!"), spec(match="regex"), file)
    assert found.scores == {"regexMatch": pytest.approx(2 / 3)}
    assert ["timedOut" in line for line in found.details] == [False, True, False]
    assert found.note is not None
    assert found.note.startswith("1 of 3 count as wrong, since they took too long: ")
    assert "line 2: match: regex: ['(?:a+)+$'] was searched for 0.05 s" in found.note


@pytest.mark.parametrize("answers_turns", [True, False])
def test_solved_examples_come_in_front_and_are_not_asked(
    write_jsonl: WriteJsonl, answers_turns: bool
) -> None:
    file = write_jsonl([{"prompt": f"q{n}", "expected": f"a{n}"} for n in range(4)])
    subject = Calculator(lambda _text: "a1", answers_turns=answers_turns)
    found = prompts(subject, spec(fewShot=1, maxSamples=2), file)
    assert found.samples == 2
    first = subject.asked[0]
    if isinstance(first, str):
        assert first == "q0\na0\nq1\n"
    else:
        assert [turn["content"] for turn in first] == ["q0", "a0", "q1"]
    assert isinstance(first, str) != answers_turns


def test_questions_begin_as_training_did(write_jsonl: WriteJsonl) -> None:
    own = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q1"}]
    file = write_jsonl([{"prompt": "q0", "expected": "a"}, {"messages": own, "expected": "a"}])
    subject = Calculator(lambda _text: "a")
    subject.system = "Add."
    prompts(subject, spec(), file)
    assert subject.asked == [
        [{"role": "system", "content": "Add."}, {"role": "user", "content": "q0"}],
        own,
    ]
    plain = Calculator(lambda _text: "a", answers_turns=False)
    plain.system = "Add."
    prompts(plain, spec(fewShot=1), file)
    assert plain.asked == ["q0\na\nBe brief.\nq1\n"]


def test_a_subject_knows_the_job_s_system_prompt(
    two_benchmarks: Callable[..., Benchmarks], monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]]
) -> None:
    told: list[str | None] = []

    def score(subject: Subject, _spec: BenchmarkSpec, _path: Path | None) -> Scored:
        told.append(subject.system)
        return Scored({"exactMatch": 1.0}, 1)

    monkeypatch.setitem(benchmarks.RUNNERS, "prompts", score)
    two_benchmarks("1", dataset={"preprocessing": {"systemPrompt": "Add."}}).run()
    assert set(told) == {"Add."}
    assert asked == []


USER = {"role": "user", "content": "1+1"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"prompt": "q"}], "must say what is expected"),
        ([{"x": 1}], "'instruction' is missing"),
        ([{"messages": [], "expected": "1"}], "line 1: messages asks nothing"),
        ([{"messages": [{"role": "assistant", "content": "1"}]}], "line 1: messages asks nothing"),
        ([{"messages": [{"role": "user"}], "expected": "1"}], r"line 1: messages\[0\].content must be text"),
        ([{"messages": [USER], "tools": [{}], "expected": "1"}], "line 1: prompts are asked without tools"),
        ([], "records"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named(
    write_jsonl: WriteJsonl, records: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        prompts(Calculator(str.upper), spec(), write_jsonl(records))


def test_a_turn_may_be_written_in_parts(write_jsonl: WriteJsonl) -> None:
    parts = [{"type": "text", "text": "1"}, {"type": "text", "text": "+1"}]
    file = write_jsonl([{"messages": [{"role": "user", "content": parts}], "expected": "2"}])
    subject = Calculator(str.upper)
    prompts(subject, spec(), file)
    assert subject.asked == [[{"role": "user", "content": "1+1"}]]


@pytest.mark.parametrize(
    ("match", "expected", "message"),
    [
        ("exact", None, "must say what is expected"),
        ("regex", "(", "cannot be searched for"),
        ("numeric", "many", "holds no number"),
        ("contains", " ", "holds a blank text"),
    ],
)
def test_what_cannot_be_compared_with_is_told_before_the_model_is_asked(
    write_jsonl: WriteJsonl, match: str, expected: str | None, message: str
) -> None:
    subject = Calculator(str.upper)
    file = write_jsonl([{"prompt": "a", "expected": "1"}, {"prompt": "b", "expected": expected}])
    with pytest.raises(DataError, match=rf"line 2: .*{message}"):
        prompts(subject, spec(match=match), file)
    assert subject.asked == []


def test_a_problem_without_its_test_is_told_before_the_model_is_asked(write_jsonl: WriteJsonl) -> None:
    subject = Calculator(str.upper)
    file = write_jsonl([{**PROBLEMS[0], "test": ""}])
    with pytest.raises(DataError, match=r"line 1: 'test' is empty"):
        human_eval(
            subject, spec(type="humanEval", allowCodeExecution=True, prompts={"path": str(file)}), file
        )
    assert subject.asked == []


PROBLEMS = [
    {
        "task_id": f"Own/{name}",
        "prompt": f"def {name}(a, b):\n",
        "test": f"def check(candidate):\n    assert candidate(2, 3) == {value}\n",
        "entry_point": name,
    }
    for name, value in (("add", 5), ("times", 6), ("power", 8))
]


def test_functions_are_completed_and_run_against_their_tests(write_jsonl: WriteJsonl) -> None:
    bodies = {
        # what comes behind the function is cut: it would not even compile
        "add": "    return a + b\n\ndef broken(:\n",
        "times": "    return a + b\n",
        "power": "    import socket\n    socket.socket()\n    return a ** b\n",
    }
    subject = Calculator(lambda head: bodies[head.removeprefix("def ").partition("(")[0]])
    file = write_jsonl(PROBLEMS)
    found = human_eval(
        subject, spec(type="humanEval", allowCodeExecution=True, prompts={"path": str(file)}), file
    )
    assert [(line["task"], line["verdict"]) for line in found.details] == [
        ("Own/add", "passed"),
        ("Own/times", "failed"),
        ("Own/power", "failed"),
    ]
    assert found.scores == {"passAt1": pytest.approx(1 / 3)}


def test_programs_run_only_where_it_was_allowed(write_jsonl: WriteJsonl) -> None:
    with pytest.raises(AssertionError, match="may run"):
        human_eval(Calculator(str.upper), spec(type="humanEval"), write_jsonl(PROBLEMS))


class Loaded:
    """A model that only says where it came from."""

    def __init__(self, place: str) -> None:
        self.place = place

    def to(self, _device: str) -> "Loaded":
        return self

    def eval(self) -> "Loaded":
        return self


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of which model; every question is answered with a score of 1."""
    found: list[tuple[str, str]] = []

    def score(subject: Subject, spec: BenchmarkSpec, _path: Path | None) -> Scored:
        found.append((Path(subject.model.place).name, spec.name))
        return Scored({"exactMatch": 1.0}, 3)

    monkeypatch.setitem(benchmarks.RUNNERS, "prompts", score)
    monkeypatch.setattr(Base, "load", lambda self, *_: Loaded(self.place))
    monkeypatch.setattr(benchmarks.AutoTokenizer, "from_pretrained", lambda *_args, **_kwargs: None)
    return found


@pytest.fixture
def two_benchmarks(make_job: Callable[..., ResolvedJob], tmp_path: Path) -> Callable[..., Benchmarks]:
    """The benchmarks a and b of a job, for an output whose files have the given hash."""
    questions = {"path": str(tmp_path / "q.jsonl")}
    two = [{"name": name, "type": "prompts", "prompts": questions} for name in "ab"]

    def make(digest: str, check_stop: Callable[[], None] = lambda: None, **spec: Any) -> Benchmarks:
        job = make_job({"evaluation": {"benchmarks": two}, **spec})
        result = Path(job.paths.output_directory) / "model"
        result.mkdir(parents=True, exist_ok=True)
        (result / "manifest.json").write_text(json.dumps({"files": [digest]}))
        return Benchmarks(job, Base("/models/base"), result, torch.float32, check_stop)

    return make


def test_scores_that_an_earlier_attempt_took_are_not_taken_again(
    asked: list[tuple[str, str]], two_benchmarks: Callable[..., Benchmarks]
) -> None:
    first = two_benchmarks("1").run()
    assert asked == [("base", "a"), ("base", "b"), ("model", "a"), ("model", "b")]
    assert first[0].scores == first[0].base == {"exactMatch": "1"}
    asked.clear()
    assert two_benchmarks("1").run() == first
    assert asked == []
    two_benchmarks("2").run()
    assert len(asked) == 4, "another output is another question"


def test_what_is_to_be_known_of_scores_is_in_the_status(
    two_benchmarks: Callable[..., Benchmarks], monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]]
) -> None:
    def score(*_: Any) -> Scored:
        return Scored({"exactMatch": 0.5}, 2, note="1 of 2 count as wrong")

    monkeypatch.setitem(benchmarks.RUNNERS, "prompts", score)
    for _ in range(2):  # the second time, from the file
        assert {status.message for status in two_benchmarks("1").run()} == {"1 of 2 count as wrong"}
    assert asked == []


def test_a_run_that_is_told_to_end_goes_on_with_what_is_left(
    asked: list[tuple[str, str]], two_benchmarks: Callable[..., Benchmarks]
) -> None:
    def before_the_last() -> None:
        if len(asked) == 3:
            raise InterruptedRunError("told to end")

    with pytest.raises(InterruptedRunError):
        two_benchmarks("1", before_the_last).run()
    asked.clear()
    two_benchmarks("1").run()
    assert asked == [("base", "b"), ("model", "b")]


def test_a_base_made_from_scratch_is_not_asked(
    asked: list[tuple[str, str]], two_benchmarks: Callable[..., Benchmarks]
) -> None:
    config = {"hiddenSize": 32, "layers": 1, "attentionHeads": 2}
    two_benchmarks("1", model={"config": config, "tokenizer": {"train": {}}}).run()
    assert asked == [("model", "a"), ("model", "b")]


TASK = """\
task: own_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}} ="
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")
def test_a_task_from_a_file_is_scored_by_the_harness(
    tiny_model: Path, tmp_path: Path, write_jsonl: WriteJsonl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = write_jsonl(
        [{"question": f"1 + {n}", "choices": ["2", "7"], "label": n % 2} for n in range(4)], "sums.jsonl"
    )
    task = tmp_path / "own.yaml"
    task.write_text(TASK.format(data=data))
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    subject = Subject(model.eval(), AutoTokenizer.from_pretrained(tiny_model), True, 2)
    asked = spec(type="lmEvaluationHarness", tasks=[str(task)], allowCodeExecution=True)
    found = harness(subject, asked, None)
    assert found.samples == 4
    # the expected choice by hand: the likelier of the two continuations
    tokenizer = subject.tokenizer
    right = 0
    for line in map(json.loads, data.read_text().splitlines()):
        sums = []
        for choice in line["choices"]:
            start = tokenizer(f"{line['question']} =")["input_ids"]
            whole = tokenizer(f"{line['question']} = {choice}")["input_ids"]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([whole])).logits.log_softmax(-1)[0]
            sums.append(sum(logits[i - 1, whole[i]].item() for i in range(len(start), len(whole))))
        right += int(sums[line["label"]] == max(sums))
    assert found.scores["own_sums.acc"] == right / 4
    assert len(found.details) == 4

    task.write_text(task.read_text() + "unsafe_code: true\n")
    with pytest.raises(InvalidConfigError, match="Use type humanEval, which confines them"):
        harness(subject, asked, None)

    with pytest.raises(InvalidConfigError, match="there is no task file"):
        harness(subject, spec(type="lmEvaluationHarness", tasks=[f"{tmp_path}/none.yaml"]), None)
