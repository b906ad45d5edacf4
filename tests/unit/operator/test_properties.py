"""What holds whatever happens: in any observation, and in any course of events in a model of a cluster."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from finetune_api import FineTuneJobStatus, TrainingResult
from finetune_api.conditions import Reason
from finetune_operator.observation import JobCondition, ObservedJob, ObservedPod
from finetune_operator.obstacles import Conflict, Refusal
from finetune_operator.plan import Plan
from operator_scenes import Operator, at, checkpoint, child, created_jobs, make_job, pod, report, result

MAX_RETRIES = 2
POLICY = {"maxRetries": MAX_RETRIES, "backoffSeconds": 1, "activeDeadlineSeconds": 5000}

SECONDS = st.integers(0, 4000)
CODES = st.sampled_from([None, 0, 1, 10, 11, 12, 13, 14, 15, 16, 20, 21, 137, 143, 255])
TEXTS = st.sampled_from(
    ["", "Pod a/b has condition DisruptionTarget", "x failed with exit code 11 y", "ä" * 900]
)

jobs = st.builds(
    child,
    st.integers(1, 3),
    owner_uid=st.sampled_from(["3f0c", "another", None]),
    suspended=st.booleans(),
    deleting=st.booleans(),
    created_at=st.none() | SECONDS.map(at),
    completed_at=st.none() | SECONDS.map(at),
    conditions=st.lists(
        st.builds(
            JobCondition,
            st.sampled_from(["Complete", "Failed", "FailureTarget", "Suspended"]),
            st.sampled_from(["True", "False"]),
            st.sampled_from(["", "PodFailurePolicy", "BackoffLimitExceeded"]),
            TEXTS,
            st.none() | SECONDS.map(at),
        ),
        max_size=2,
    ).map(tuple),
)
results = st.builds(
    result,
    st.sampled_from(["succeeded", "failed", "interrupted"]),
    st.sampled_from(list(Reason)),
    st.integers(0, 255),
    TEXTS,
    step=st.integers(0, 300),
)
pods = st.builds(
    pod,
    st.integers(1, 3),
    st.integers(0, 1),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    exit_code=CODES,
    oom_killed=st.booleans(),
    disruption=st.sampled_from([None, "EvictionByEvictionAPI", "DeletionByTaintManager"]),
    started_at=st.none() | SECONDS.map(at),
    finished_at=st.none() | SECONDS.map(at),
    waiting_reason=st.sampled_from([None, "ImagePullBackOff", "CreateContainerConfigError"]),
    unschedulable_message=st.none() | TEXTS,
    termination_message=TEXTS | results.map(TrainingResult.to_termination_message),
    deleting=st.booleans(),
)
reports = st.builds(
    lambda step, seconds, extra: report(step, seconds, **extra),
    st.integers(0, 300),
    SECONDS,
    st.sampled_from([{}, {"activity": "loading"}, {"checkpoints": checkpoint(7, 70)}])
    | results.map(lambda last: {"result": last.to_json_object()}),
)
sights = st.tuples(
    SECONDS,
    st.lists(jobs, max_size=3, unique_by=lambda job: job.name),
    st.lists(pods, max_size=3),
    st.dictionaries(st.integers(1, 3), reports, max_size=2),
    st.lists(st.builds(Conflict, st.just("Job"), st.just("tune-1"), TEXTS, st.booleans()), max_size=1),
    st.lists(st.builds(Refusal, st.just("Job"), st.just("tune-1"), TEXTS, st.booleans()), max_size=1),
    st.booleans(),
)


def has_ended(status: FineTuneJobStatus) -> bool:
    return any((c := status.condition(type_)) and c.status == "True" for type_ in ("Complete", "Failed"))


@settings(max_examples=60, deadline=None)
@given(st.lists(sights, min_size=1, max_size=6))
def test_no_course_of_observations_makes_the_operator_stumble(course: list[tuple]) -> None:  # type: ignore[type-arg]
    operator = Operator(make_job({"failurePolicy": POLICY}))
    for seconds, seen_jobs, seen_pods, seen_reports, conflicts, refusals, suspend in course:
        before = operator.status
        operator.edit(suspend=suspend)
        plan = operator.see(seconds, seen_jobs, seen_pods, seen_reports, conflicts, refusals)
        check(before, plan, seen_jobs, seen_pods)
        operator.restart()
        assert operator.status == plan.status


def check(
    before: FineTuneJobStatus, plan: Plan, seen_jobs: list[ObservedJob], seen_pods: list[ObservedPod]
) -> None:
    after = plan.status
    assert after.retries <= MAX_RETRIES
    assert len(created_jobs(plan)) <= 1
    if created_jobs(plan):
        assert all(job.finished for job in seen_jobs)
        assert all(one.ended for one in seen_pods)
    if has_ended(before):
        assert has_ended(after)
        assert after.phase is before.phase
        assert not plan.apply
    assert sum(record.outcome == "Running" for record in after.attempts) <= 1
    assert len(after.model_dump_json(by_alias=True, exclude_none=True).encode()) <= 4096
    true = {condition.type for condition in after.conditions if condition.status == "True"}
    assert len(true & {"Ready", "Reconciling", "Stalled", "Suspended"}) == 1
    assert all(c.observed_generation == after.observed_generation for c in after.conditions)
    assert not {ref.name for ref in plan.delete if ref.kind == "PersistentVolumeClaim"}


@settings(max_examples=25, stateful_step_count=30, deadline=None)
class Life(RuleBasedStateMachine):
    """A job in a cluster of which only Jobs and pods are modelled; the operator may lose any status write."""

    def __init__(self) -> None:
        super().__init__()
        self.operator = Operator(make_job({"failurePolicy": POLICY, "distributed": {"nodes": 2}}))
        self.now = 0
        self.jobs: dict[int, ObservedJob] = {}
        self.pods: dict[int, list[ObservedPod]] = {}
        self.step = 0
        self.failures = 0

    @initialize()
    def create(self) -> None:
        self.reconcile(lost=False)

    @rule(lost=st.booleans())
    def reconcile(self, lost: bool) -> None:
        before = self.operator.status
        seen_pods = [one for each in self.pods.values() for one in each]
        attempt = max(self.jobs, default=0)
        told = {attempt: report(self.step, self.now)} if attempt and self.step else {}
        plan = self.operator.see(self.now, list(self.jobs.values()), seen_pods, told)
        check(before, plan, list(self.jobs.values()), seen_pods)
        for ref in plan.delete:
            if ref.kind == "Job":
                number = int(ref.name.rsplit("-", 1)[1])
                self.jobs[number] = replace(self.jobs[number], deleting=True)
        for name in created_jobs(plan):
            number = int(name.rsplit("-", 1)[1])
            if number not in self.jobs:
                self.jobs[number] = child(number, created_at=at(self.now))
                self.pods[number] = [pod(number, index, started_at=at(self.now)) for index in range(2)]
        suspended = plan.status.condition("Suspended")
        if suspended is not None and suspended.status == "True":
            assert all(one.ended for one in seen_pods)
        if lost:
            self.operator.status = before

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def train(self) -> None:
        self.step += 1

    @rule(suspend=st.booleans())
    def suspend_or_resume(self, suspend: bool) -> None:
        self.operator.edit(suspend=suspend)

    @precondition(lambda self: self.live())
    @rule(code=st.sampled_from([1, 14, 20, 21, 137]), index=st.integers(0, 1), delete=st.booleans())
    def pod_dies(self, code: int, index: int, delete: bool) -> None:
        number = self.live()[0]
        each = self.pods[number]
        each[index] = replace(
            each[index], phase="Failed", exit_code=code, finished_at=at(self.now), deleting=delete
        )

    @precondition(lambda self: self.live())
    @rule()
    def the_job_controller_catches_up(self) -> None:
        number = self.live()[0]
        job, each = self.jobs[number], self.pods[number]
        if job.deleting:
            del self.jobs[number]
            del self.pods[number]
        elif any(one.phase == "Failed" for one in each):
            dead = next(one for one in each if one.phase == "Failed")
            message = f"Container trainer for pod team/{dead.name} failed with exit code {dead.exit_code} x"
            failure = JobCondition("Failed", "True", "PodFailurePolicy", message, at(self.now))
            self.jobs[number] = replace(job, conditions=(failure,), active=0)
            self.pods[number] = [dead]

    @rule()
    def what_was_deleted_goes(self) -> None:
        for number in [n for n, job in self.jobs.items() if job.deleting and job.finished]:
            del self.jobs[number]
            del self.pods[number]

    @precondition(lambda self: self.live())
    @rule()
    def the_job_succeeds(self) -> None:
        number = self.live()[0]
        if self.jobs[number].deleting or any(one.ended for one in self.pods[number]):
            return
        message = result(step=self.step).to_termination_message()
        self.jobs[number] = replace(
            self.jobs[number],
            conditions=(JobCondition("Complete", "True", changed_at=at(self.now)),),
            completed_at=at(self.now),
        )
        self.pods[number] = [
            replace(
                one, phase="Succeeded", exit_code=0, finished_at=at(self.now), termination_message=message
            )
            for one in self.pods[number]
        ]

    @precondition(lambda self: self.live())
    @rule()
    def somebody_deletes_the_job(self) -> None:
        self.jobs.pop(self.live()[0])

    def live(self) -> list[int]:
        return [number for number, job in self.jobs.items() if not job.finished]

    @invariant()
    def one_attempt_at_a_time(self) -> None:
        assert len(self.live()) <= 1

    def teardown(self) -> None:
        """Left alone, with pods that fail, every job comes to an end or waits for its user."""
        self.operator.edit(suspend=False)
        for _ in range(60):
            self.reconcile(lost=False)
            self.now += 700
            for number in self.live():
                self.pods[number] = [
                    replace(one, phase="Failed", exit_code=1, finished_at=at(self.now))
                    for one in self.pods[number]
                ]
                self.the_job_controller_catches_up()
            self.what_was_deleted_goes()
            for number in set(self.pods) - set(self.jobs):
                del self.pods[number]
            if has_ended(self.operator.status):
                return
        raise AssertionError(f"still {self.operator.status.phase}")


TestLife = Life.TestCase
