"""A job made ready for one attempt: what the trainer reads from `job.json`, in a cluster or without one."""

from typing import Annotated, Final, Literal

from pydantic import Field

from finetune_api.base import ApiModel, Integer
from finetune_api.dataset import DataSource
from finetune_api.distributed import RawObject
from finetune_api.job import FineTuneJob, FineTuneJobSpec, processes_per_node
from finetune_api.status import PresetStatus

CONFIG_MOUNT: Final = "/etc/finetune"
JOB_FILE: Final = f"{CONFIG_MOUNT}/job.json"
CA_FILE: Final = f"{CONFIG_MOUNT}/ca.crt"
TOKEN_MOUNT: Final = "/var/run/secrets/finetune"  # noqa: S105 - a directory, not a secret
TOKEN_FILE: Final = f"{TOKEN_MOUNT}/token"
STORAGE_MOUNT: Final = "/finetune/storage"
OUTPUT_MOUNT: Final = "/finetune/output"
DATA_MOUNT: Final = "/finetune/data"
MASTER_PORT: Final = 29500


class JobIdentity(ApiModel):
    """Which job this is."""

    name: str = Field(description="Name of the job.")
    namespace: str = Field(default="default", description="Namespace of the job.")
    uid: str = Field(default="", description="Identity of the object; empty outside a cluster.")
    generation: Annotated[Integer, Field(ge=0)] = Field(
        default=0, description="Generation that was resolved."
    )


class Rendezvous(ApiModel):
    """Where the ranks meet."""

    address: str = Field(description="Host name or address of node 0.")
    port: Annotated[Integer, Field(ge=1, le=65535)] = Field(default=MASTER_PORT, description="TCP port.")


class RunPaths(ApiModel):
    """Directories and files as the trainer sees them."""

    run_directory: str = Field(
        description="Holds checkpoints/, metrics.jsonl and, unless set apart, output/."
    )
    output_directory: str = Field(description="Receives the adapter or the model.")
    train: str | None = Field(default=None, description="Training data, where it is a file or directory.")
    eval: str | None = Field(default=None, description="Evaluation data, where it is a file or directory.")
    benchmarks: dict[str, str] = Field(
        default={},
        description="Questions of benchmarks, by name, where they are a file or directory.",
    )


class AppliedPreset(PresetStatus):
    """The preset whose values are in a resolved spec, as it was when the job started."""

    values: RawObject = Field(description="Its values, whole: also those that the job has overridden.")

    @property
    def status(self) -> PresetStatus:
        """What the job's status says of it."""
        return PresetStatus.model_validate(self.model_dump(exclude={"values"}))


class ResolvedJob(ApiModel):
    """Everything that one attempt needs to know. It never changes during the attempt."""

    job: JobIdentity = Field(description="Which job this is.")
    attempt: Annotated[Integer, Field(ge=1)] = Field(description="Number of the attempt, from 1.")
    spec: FineTuneJobSpec = Field(description="The spec, with the preset's values and defaults filled in.")
    preset: AppliedPreset | None = Field(
        default=None, description="The preset whose values are in spec; later attempts use the same."
    )
    nodes: Annotated[Integer, Field(ge=1)] = Field(description="Number of nodes (pods).")
    processes_per_node: Annotated[Integer, Field(ge=1)] = Field(description="Ranks on each node.")
    master: Rendezvous = Field(description="Where the ranks meet.")
    paths: RunPaths = Field(description="Directories and files.")
    device: Literal["cuda", "cpu"] = Field(description="What the ranks compute on.")
    grace_period_seconds: Annotated[Integer, Field(ge=1)] = Field(
        description="Seconds to save and end after a SIGTERM."
    )

    @property
    def world_size(self) -> int:
        """Number of ranks on all nodes."""
        return self.nodes * self.processes_per_node

    @property
    def effective_batch_size(self) -> int:
        """Sequences per optimizer step, over all ranks."""
        training = self.spec.training
        return training.sequences_per_rank * self.world_size


def attempt_name(job: str, attempt: int) -> str:
    """Name of the objects of one attempt: `<job>-<attempt>`."""
    return f"{job}-{attempt}"


def benchmark_part(number: int) -> str:
    """The directory, below that of all data, with the questions of a job's benchmark number 0, 1, …"""
    return f"benchmark-{number}"


def data_path(source: DataSource | None, part: str) -> str | None:
    """Where the trainer finds a data source (`part` is train, eval or a benchmark's); None where it fetches
    the data itself."""
    if source is None:
        return None
    if source.path is not None:
        return source.path
    if source.pvc is not None:
        return f"{DATA_MOUNT}/{part}/{source.pvc.path.lstrip('/')}"
    if source.config_map is not None:
        return f"{DATA_MOUNT}/{part}/{source.config_map.key}"
    return None


def resolve(
    job: FineTuneJob,
    attempt: int,
    *,
    run_directory: str | None = None,
    master_address: str | None = None,
    device: Literal["cuda", "cpu"] | None = None,
    preset: AppliedPreset | None = None,
) -> ResolvedJob:
    """What attempt number `attempt` of a valid job runs with.

    Without the optional arguments this is the cluster's layout (mounts, DNS names). On one machine the master
    is `127.0.0.1`; the Python API also chooses the device and the run directory, which then holds the output.
    `preset` is recorded; its values are in the job's spec already. The result depends on nothing but the
    arguments.
    """
    spec = job.spec
    name = attempt_name(job.metadata.name, attempt)
    return ResolvedJob(
        job=JobIdentity(
            name=job.metadata.name,
            namespace=job.metadata.namespace,
            uid=job.metadata.uid,
            generation=job.metadata.generation,
        ),
        attempt=attempt,
        spec=spec,
        preset=preset,
        nodes=spec.distributed.nodes,
        processes_per_node=processes_per_node(spec),
        master=Rendezvous(
            address=master_address or (f"{name}-0.{name}" if spec.distributed.nodes > 1 else "127.0.0.1")
        ),
        paths=_paths(job, run_directory),
        device=device or ("cuda" if spec.resources.accelerators.per_node > 0 else "cpu"),
        grace_period_seconds=spec.failure_policy.grace_period_seconds,
    )


def _paths(job: FineTuneJob, run_directory: str | None) -> RunPaths:
    """Where a job reads and writes: in its mounts, or in the run directory that the caller has chosen."""
    spec, name = job.spec, job.metadata.name
    run = run_directory or f"{STORAGE_MOUNT}/{spec.checkpoints.storage.sub_path or name}"
    output = f"{run}/output"
    if run_directory is None and spec.output.storage is not None:
        output = f"{OUTPUT_MOUNT}/{spec.output.storage.sub_path or name}"
    return RunPaths(
        run_directory=run,
        output_directory=output,
        train=data_path(spec.dataset.train, "train"),
        eval=data_path(spec.dataset.eval, "eval"),
        benchmarks={
            benchmark.name: path
            for number, benchmark in enumerate(spec.evaluation.benchmarks)
            if (path := data_path(benchmark.prompts, benchmark_part(number))) is not None
        },
    )
