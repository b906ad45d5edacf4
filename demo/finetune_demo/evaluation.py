"""What the base and the tuned model answer to inputs that neither has seen; asked in a pod."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from finetune_cli.tables import aligned
from finetune_demo.kubectl import Cluster, Manifest

POD: Final = "evaluation"
MODELS: Final = ("base", "tuned")
SHOWN: Final = 10
MAX_BEFORE: Final = 0.1
MIN_AFTER: Final = 0.9
"""Exact match over the held-out set: at most this before tuning, at least that after it."""

_SCRATCH: Final = "/tmp"  # noqa: S108 - an emptyDir of the pod's own
_PROMPTS: Final = "/prompts/dates-heldout.jsonl"


class EvaluationError(RuntimeError):
    """The models could not be asked; the text says why."""


@dataclass(frozen=True)
class Answer:
    """One held-out record, and what each of the models made of it."""

    input: str
    expected: str
    base: str
    tuned: str


@dataclass(frozen=True)
class Evaluation:
    """All answers over the held-out set."""

    answers: Sequence[Answer]

    @property
    def before(self) -> float:
        """Share of inputs that the base model answers exactly."""
        return sum(answer.base == answer.expected for answer in self.answers) / len(self.answers)

    @property
    def after(self) -> float:
        """Share of inputs that the tuned model answers exactly."""
        return sum(answer.tuned == answer.expected for answer in self.answers) / len(self.answers)

    @property
    def learned(self) -> bool:
        """Whether the skill is there after tuning, and was not before."""
        return self.before <= MAX_BEFORE and self.after >= MIN_AFTER

    def table(self) -> str:
        """The first answers side by side, with a mark for each that is exact."""
        rows = [("input", "base model", "tuned model", "")]
        rows += [
            (answer.input, _one_line(answer.base), _one_line(answer.tuned), _mark(answer))
            for answer in self.answers[:SHOWN]
        ]
        return "\n".join(aligned(rows))


def evaluation_pod(image: str, claim: str, prompts: str, base: str, adapter: str) -> Manifest:
    """Return a pod that asks both models, one after the other, and prints what they answered.

    `base` and `adapter` are directories in the volume of `claim`; `prompts` is a
    ConfigMap with the held-out set.
    """
    arguments: dict[str, list[str]] = {"base": [], "tuned": [f"--adapter=/models/{adapter}"]}
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = [
        {"name": "models", "mountPath": "/models", "readOnly": True},
        {"name": "prompts", "mountPath": "/prompts", "readOnly": True},
        {"name": "scratch", "mountPath": _SCRATCH},
    ]

    def container(name: str, command: list[str]) -> Manifest:
        return {
            "name": name,
            "image": image,
            "command": command,
            "securityContext": security,
            "volumeMounts": mounts,
        }

    def ask(model: str) -> list[str]:
        command = ["python", "-m", "finetune_trainer", "generate", f"--model=/models/{base}"]
        limits = [f"--prompts={_PROMPTS}", f"--out={_SCRATCH}/{model}.jsonl", "--max-new-tokens=16"]
        return [*command, *arguments[model], *limits]

    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [container(model, ask(model)) for model in MODELS],
            "containers": [container("print", ["cat", *(f"{_SCRATCH}/{model}.jsonl" for model in MODELS)])],
            "volumes": [
                {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
                {"name": "prompts", "configMap": {"name": prompts}},
                {"name": "scratch", "emptyDir": {}},
            ],
        },
    }


def read_answers(text: str) -> Evaluation:
    """Return the answers that the pod has printed: every record once per model, in the same order.

    Raises `EvaluationError` if one is missing.
    """
    records = [json.loads(line) for line in text.splitlines() if line.strip()]
    half, odd = divmod(len(records), len(MODELS))
    if odd or not half:
        raise EvaluationError(f"{len(records)} answers are no whole set for each of {len(MODELS)} models")
    return Evaluation(
        [
            Answer(base["input"], base["output"], base["answer"].strip(), tuned["answer"].strip())
            for base, tuned in zip(records[:half], records[half:], strict=True)
        ]
    )


def evaluate(cluster: Cluster, namespace: str, pod: Manifest, limit_seconds: float) -> Evaluation:
    """Run the pod and return what it found. Raises `EvaluationError`."""
    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", manifest=pod)
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline:
        found = cluster.get("pod", POD, namespace)
        phase = found["status"].get("phase") if found else None
        if phase == "Succeeded":
            logs = cluster.kubectl("logs", f"--namespace={namespace}", POD, "--container=print")
            return read_answers(logs)
        if phase == "Failed":
            logs = cluster.kubectl("logs", f"--namespace={namespace}", POD, "--all-containers", "--tail=20")
            raise EvaluationError(f"the evaluation failed:\n{logs}")
        time.sleep(1.0)
    raise EvaluationError(f"the evaluation has not ended after {limit_seconds:.0f} s")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 28 else f"{line[:27]}…"


def _mark(answer: Answer) -> str:
    return "✓" if answer.tuned == answer.expected else f"✗ {answer.expected}"
