"""The routes by which findings about a job reach somebody, apart from the API server, and what each says."""

import json
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from finetune_api import Finding, FineTuneJobStatus, InvalidJobError, parse_job
from finetune_cli.main import main
from finetune_operator.deciding.admission import AdmissionRequest, answer, judge
from finetune_operator.deciding.decide import decide
from finetune_operator.deciding.refusal import rejected
from finetune_operator.observation import Observed
from operator_rig import Manifest
from operator_scenes import CONFIG

_VALID: Manifest = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "valid", "namespace": "team", "uid": "3f0c", "generation": 1},
    "spec": {"model": {"id": "a/b"}, "dataset": {"train": {"hub": {"id": "a/b"}}}},
}


def command_line(manifest: Manifest, directory: Path) -> tuple[int, list[Finding]]:
    """The exit status of `finetune validate -o json`, and the findings that it lists."""
    file = directory / "job.yaml"
    file.write_text(json.dumps(manifest))
    with redirect_stdout(StringIO()) as printed:
        status = main(["validate", str(file), "-o", "json"])
    [report] = json.loads(printed.getvalue())
    listed = [
        Finding.from_json_object({"severity": severity, **finding})
        for severity in ("error", "warning", "suggestion")
        for finding in report[f"{severity}s"]
    ]
    return status, listed


def webhook(manifest: Manifest) -> Manifest:
    """The webhook's response to the API server."""
    request = AdmissionRequest(uid="7", operation="CREATE", object=manifest)
    response = answer(request, judge(request))["response"]
    assert isinstance(response, dict)
    return response


def reconciler(manifest: Manifest) -> str | None:
    """What the operator writes into the condition Stalled, if it does."""
    now = datetime.now(UTC)
    try:
        job = parse_job(manifest)
    except InvalidJobError as invalid:
        valid = parse_job(_VALID)
        plan = rejected(valid.metadata, FineTuneJobStatus(), invalid.findings, now)
    else:
        plan = decide(job, FineTuneJobStatus(), Observed(), now, CONFIG)
    stalled = next((c for c in plan.status.conditions if c.type == "Stalled"), None)
    return stalled.message if stalled is not None and stalled.status == "True" else None
