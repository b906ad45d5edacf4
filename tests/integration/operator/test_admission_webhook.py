"""`kubectl apply` with the webhook in front: the validator's findings, and nobody stopped without need.

The webhook is registered with failurePolicy Fail, so that whatever passes was really asked about.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

import routes
from findings_table import CEL_CASES, COMPLETE, EVERY_CASE, Case
from finetune_api import check_manifest
from finetune_api.validation import errors_in
from finetune_operator.deciding.admission import warning_lines
from finetune_operator.deciding.refusal import described
from onenode import ControlPlane
from operator_rig import Manifest, free_port, running, wait_until
from webhook_rig import CONFIGURATION, INVALID, Author, answers, authors_namespace, registered


@pytest.fixture(scope="module")
def author(
    control_plane: ControlPlane,
    installation: Path,
    rendered_chart: list[Manifest],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Author]:
    """An author, whose namespace already holds invalid jobs `old-…`, and whose jobs are checked from now on.

    The operator has the rights that the chart gives it, and writes its authority into the registration.
    """
    port = free_port()
    with authors_namespace(control_plane) as somebody:
        for name in ("old-metadata", "old-status", "old-paused", "old-changed", "old-deleted"):
            somebody.done("create", "-f", "-", stdin=somebody.job(name, INVALID))
        webhook = {"host": "127.0.0.1", "port": port, "configuration": CONFIGURATION}
        folder = tmp_path_factory.mktemp("webhook-operator")
        scope = [somebody.namespace]
        with (
            registered(somebody, rendered_chart, port) as trusted,
            running(folder, installation, webhook=webhook, watchNamespaces=scope, instance="webhook"),
        ):
            assert "BEGIN CERTIFICATE" in trusted(), "ready means registered"
            wait_until("the API server asks the webhook", lambda: answers(somebody))
            yield somebody


@pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: case.name)
def test_one_job_has_the_same_findings_by_every_route(author: Author, case: Case, tmp_path: Path) -> None:
    """Schema and CEL or else the webhook, by `kubectl apply`; the command line; the reconciler."""
    manifest = {**case.manifest, "metadata": {**case.manifest["metadata"], "namespace": author.namespace}}
    findings = check_manifest(manifest)[1]
    errors = errors_in(findings)
    assert routes.command_line(manifest, tmp_path)[1] == findings
    assert routes.reconciler(manifest) == (described(errors) if errors else None)

    name = manifest["metadata"]["name"]
    result = author.kubectl("apply", "-f", "-", stdin=author.job(name, manifest["spec"]))
    said = " ".join(result.stderr.split())

    assert (result.returncode == 0) == (not errors), result.stderr
    if case.by_schema:
        assert case.by_schema in said
        assert all(f"spec.{finding.path}" in said for finding in errors)
        return
    for finding in errors:
        assert f'The FineTuneJob "{name}" is invalid' in said
        field = finding.path if finding.path.startswith("metadata") else f"spec.{finding.path}"
        assert f"{field}: " in said
        assert str(finding).removeprefix(f"{finding.path}: ") in said
    if case in CEL_CASES:
        return  # refused before the webhook is asked, which is what would give advice
    for line in warning_lines([finding for finding in findings if finding not in errors]):
        assert f"Warning: {line}" in result.stderr


def test_a_dry_run_is_checked_too(author: Author) -> None:
    job = author.job("dry", INVALID)
    assert "resources.sharedMemory" in author.refused("apply", "--dry-run=server", "-f", "-", stdin=job)


def test_more_advice_than_the_api_server_carries_loses_no_code_and_no_path(author: Author) -> None:
    secrets = [{"name": f"API_TOKEN_{'X' * 60}_{number}", "value": "x"} for number in range(40)]
    job = author.job("verbose", {**COMPLETE, "resources": {"env": secrets}})
    advice = [found for found in check_manifest(job)[1] if found.severity != "error"]
    printed = author.done("apply", "-f", "-", stdin=job).splitlines()
    shown = [line for line in printed if line.startswith("Warning: ")]
    assert shown == [f"Warning: {line}" for line in warning_lines(advice)]
    assert "more findings" in shown[-1]


class TestAnInvalidJobThatIsThere:
    def test_can_be_labelled(self, author: Author) -> None:
        author.done("label", "ftj", "old-metadata", "team=a")

    def test_can_have_its_status_written(self, author: Author) -> None:
        status = {"status": {"metrics": {"loss": "2.5"}}}
        author.done(*author.patch("old-status", status), "--subresource=status")

    def test_can_be_paused_and_resumed(self, author: Author) -> None:
        for suspend in (True, False):
            author.done(*author.patch("old-paused", {"spec": {"suspend": suspend}}))

    def test_cannot_be_changed_unless_that_mends_it(self, author: Author) -> None:
        wrong = author.patch("old-changed", {"spec": {"training": {"maxSteps": 5}}})
        assert "resources.sharedMemory" in author.refused(*wrong)
        author.done(*author.patch("old-changed", {"spec": {"resources": {"memory": "8Gi"}}}))

    def test_can_be_finalised_and_deleted(self, author: Author) -> None:
        author.done(*author.patch("old-deleted", {"metadata": {"finalizers": ["example.com/wait"]}}))
        author.done("delete", "ftj", "old-deleted", "--wait=false")
        author.done(*author.patch("old-deleted", {"metadata": {"finalizers": None}}))
        wait_until("the job is gone", lambda: author.kubectl("get", "ftj", "old-deleted").returncode != 0)


class TestPresets:
    def preset(self, author: Author, name: str, **values: object) -> Manifest:
        return {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTunePreset",
            "metadata": {"name": name, "namespace": author.namespace},
            "spec": {"title": "Ours", "values": values},
        }

    def test_a_preset_that_no_job_could_use_is_refused(self, author: Author) -> None:
        nested = self.preset(author, "nested", preset="chat")
        said = author.refused("apply", "-f", "-", stdin=nested)
        assert 'The FineTunePreset "nested" is invalid: spec.values.preset' in said

    def test_one_that_a_job_has_to_complete_is_stored_with_a_warning(self, author: Author) -> None:
        partial = self.preset(author, "partial", distributed={"offload": {"parameters": "cpu"}})
        said = author.done("apply", "-f", "-", stdin=partial)
        assert "Warning: IncompletePreset: values.distributed.offload.parameters" in said

    def test_a_job_is_checked_with_its_preset_in_it(self, author: Author) -> None:
        author.done("apply", "-f", "-", stdin=self.preset(author, "small", resources={"memory": "64Mi"}))
        job = author.job("over-small", {**COMPLETE, "preset": "small"})
        wait_until(
            "the operator knows the preset",
            lambda: "resources.sharedMemory" in author.kubectl("apply", "-f", "-", stdin=job).stderr,
        )
        author.done(
            "apply", "-f", "-", stdin={**job, "spec": {**job["spec"], "resources": {"memory": "8Gi"}}}
        )

    def test_a_preset_that_is_not_there_may_come_later(self, author: Author) -> None:
        job = author.job("early", {**COMPLETE, "preset": "later"})
        said = author.done("apply", "-f", "-", stdin=job)
        assert "Warning: UnknownPreset: preset: later is not the name of a preset" in said

    def test_after_a_plain_create_it_is_said_what_the_preset_may_have_replaced(self, author: Author) -> None:
        job = author.job("created", {**COMPLETE, "preset": "chat", "training": {"epochs": 3}})
        created = author.done("create", "--dry-run=server", "-f", "-", stdin=job)
        assert "Warning: PresetOverDefault: preset: chat gives " in created
        applied = author.done("apply", "--dry-run=server", "-f", "-", stdin=job)
        assert "PresetOverDefault" not in applied
