"""A job's story is the same where the operator is killed at each step, and where there are two of them."""

import signal
from collections import Counter
from pathlib import Path

from dying_operator import KILLED
from operator_rig import Manifest, Namespace, OperatorProcess, running, wait_until

DONE: Manifest = {
    "outcome": "succeeded",
    "reason": "Succeeded",
    "exitCode": 0,
    "step": 10,
    "totalSteps": 10,
    "output": {"kind": "adapter", "path": "tune/output/adapter", "verified": True},
}
CONFLICTS = 'finetune_reconcile_errors_total{error="conflict"}'
POLICY: Manifest = {"failurePolicy": {"backoffSeconds": 0, "maxRetries": 1}}


def story(namespace: Namespace, name: str) -> list[tuple[int, str, str]]:
    return [(each["number"], each["outcome"], each["reason"]) for each in namespace.status(name)["attempts"]]


def check(namespace: Namespace, name: str) -> None:
    """One failure, one retry, one success, and nothing twice."""
    assert story(namespace, name) == [(1, "Failed", "TrainerCrashed"), (2, "Succeeded", "Succeeded")]
    assert namespace.status(name)["retries"] == 1
    for kind in ("jobs", "pods", "configmaps"):
        of_job = namespace.items(kind, "-l", f"finetune.dev/job={name}")
        assert Counter(item["metadata"]["labels"]["finetune.dev/attempt"] for item in of_job) == {
            "1": 1,
            "2": 1,
        }


def test_an_operator_that_is_killed_after_each_of_its_writes_brings_a_job_to_its_end(
    namespace: Namespace, operator: OperatorProcess, installation: Path, tmp_path: Path
) -> None:
    only_here = {"watchNamespaces": [namespace.name]}
    dying = OperatorProcess(tmp_path, installation, only_here, module="dying_operator")
    lives = 0

    def lives_on(goal: str) -> bool:
        """Whether a pod of this attempt, or this phase, is there; whoever has died begins anew."""
        nonlocal lives
        if dying.process is None or dying.process.poll() is not None:
            assert dying.process is None or dying.process.returncode == KILLED, dying.log()
            dying.launch()
            lives += 1
        if goal.isdecimal():
            return bool(namespace.items("pods", "-l", f"finetune.dev/attempt={goal}"))
        return namespace.status("tune").get("phase") == goal

    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)  # it would do the work
    try:
        namespace.submit("tune", **POLICY)
        for attempt, result in (("1", None), ("2", DONE)):
            wait_until(f"a pod of attempt {attempt}", lambda goal=attempt: lives_on(goal), seconds=90)
            [pod] = namespace.items("pods", "-l", f"finetune.dev/attempt={attempt}")
            namespace.end_trainer(pod["metadata"]["name"], 0 if result else 1, result)
        wait_until("the job has succeeded", lambda: lives_on("Succeeded"), seconds=90)
    finally:
        operator.process.send_signal(signal.SIGCONT)
        if dying.process is not None and dying.process.poll() is None:
            dying.stop(signal.SIGKILL)
    check(namespace, "tune")
    assert lives >= 6, "a ConfigMap, a Job and an end for each attempt"


def test_two_operators_at_once_tell_the_story_of_one(
    namespace: Namespace, operator: OperatorProcess, installation: Path, tmp_path: Path
) -> None:
    names = [f"tune{number}" for number in range(4)]
    with running(tmp_path, installation, watchNamespaces=[namespace.name]) as twin:
        for name in names:
            namespace.submit(name, **POLICY)
        for attempt, result in ((1, None), (2, DONE)):
            for name in names:
                pod = namespace.await_pod(name, attempt)["metadata"]["name"]
                namespace.end_trainer(pod, 0 if result else 1, result)
        for name in names:
            wait_until(
                f"{name} has succeeded",
                lambda name=name: namespace.status(name).get("phase") == "Succeeded",
            )
        collisions = [
            each.metric('finetune_reconcile_errors_total{error="conflict"}') for each in (operator, twin)
        ]
    for name in names:
        check(namespace, name)
    told = Counter(
        event["regarding"]["name"]
        for event in namespace.items("events.events.k8s.io")
        if event["reason"] == "AttemptStarted"
    )
    assert told == dict.fromkeys(names, 2), "each is told by the one whose status was written"
    assert sum(collisions) > 0, "else they have not met"
