"""The rule that a job leaves room in the API server's store for its status."""

import json
from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error

MAX_SPEC_BYTES: Final = 256 * 1024
"""As indented JSON, the form in which an attempt's ConfigMap (of 1 MiB at most) has the spec.

etcd takes a job of 1.5 MiB, and the spec is only a part of it: annotations may have as much (`kubectl apply`
keeps a copy of the spec there, and takes no larger one), the names of the spec's fields stand beside it once
for each tool that has set them, and then there is the status.
"""


def size(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """No more than fits beside all that is stored with it."""
    # of the job, not of its spec: that would have Pydantic build a section once more
    spec = job.model_dump(mode="json", by_alias=True, exclude_none=True, include={"spec"})["spec"]
    sections = {name: _bytes(value) for name, value in spec.items()}
    total = sum(sections.values())
    if total > MAX_SPEC_BYTES:
        largest = max(sections, key=lambda name: sections[name])
        yield error(
            Code.OUT_OF_RANGE,
            largest,
            f"is the largest part of a spec that takes {total} bytes as indented JSON, and {MAX_SPEC_BYTES} "
            "leave room for the job's status",
            "Keep long content in a file of a volume or a ConfigMap, and name it here",
        )


def _bytes(value: object) -> int:
    return len(json.dumps(value, indent=2, ensure_ascii=False).encode(errors="surrogatepass"))
