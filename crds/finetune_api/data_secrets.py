"""How the keys of a data source reach the trainer: as environment variables, set from Secrets in the cluster,
and by the user for `finetune run`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from finetune_api.dataset import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.kubernetes import SecretKeyRef
from finetune_api.resolved import benchmark_part

DataSecret = Literal["HTTP_TOKEN", "S3_ACCESS_KEY", "S3_SECRET_KEY"]


@dataclass(frozen=True)
class Part:
    """A data source of a job."""

    name: str
    """train, eval, or a benchmark's (`benchmark-0`)."""
    field: str
    """Where the spec has it."""
    source: DataSource

    def variable(self, secret: DataSecret) -> str:
        """Name of the variable with one of its keys: `FINETUNE_TRAIN_HTTP_TOKEN`."""
        return f"FINETUNE_{self.name.upper().replace('-', '_')}_{secret}"

    def secrets(self) -> Iterator[tuple[DataSecret, SecretKeyRef]]:
        """The keys that it needs, and the Secrets that hold them."""
        http, s3 = self.source.http, self.source.s3
        if http is not None and http.token_secret is not None:
            yield "HTTP_TOKEN", http.token_secret
        if s3 is not None and s3.access_key_secret is not None:
            yield "S3_ACCESS_KEY", s3.access_key_secret
        if s3 is not None and s3.secret_key_secret is not None:
            yield "S3_SECRET_KEY", s3.secret_key_secret


def data_parts(spec: FineTuneJobSpec) -> Iterator[Part]:
    """All data sources of a job: what it is trained and evaluated on, and its benchmarks' questions."""
    yield Part("train", "dataset.train", spec.dataset.train)
    if spec.dataset.eval is not None:
        yield Part("eval", "dataset.eval", spec.dataset.eval)
    for number, benchmark in enumerate(spec.evaluation.benchmarks):
        if benchmark.prompts is not None:
            field = f"evaluation.benchmarks[{number}].prompts"
            yield Part(benchmark_part(number), field, benchmark.prompts)


def secret_variables(spec: FineTuneJobSpec) -> dict[str, SecretKeyRef]:
    """The variables that a job's data sources need, and the Secrets that hold them."""
    return {
        part.variable(secret): reference for part in data_parts(spec) for secret, reference in part.secrets()
    }
