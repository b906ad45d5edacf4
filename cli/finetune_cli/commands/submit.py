"""Send jobs and presets to the cluster by server-side apply, as field manager `finetune`.

Each job is checked first, with its preset and --set filled in: an error sends nothing. A preset is looked
for in the files, in the job's namespace, and among the built-in ones. FineTunePresets in the files are sent
before the jobs; other objects are for kubectl.

exit status: 0 sent (with --wait: trained), 1 refused, failed or stalled, 2 usage error
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from finetune_cli.arguments import add_set
from finetune_cli.cluster.verb import add_cluster, add_dry_run, add_output, add_wait, cluster_of, dry_run_note
from finetune_cli.errors import INVALID, CommandError
from finetune_cli.manifests import JOB_KIND

if TYPE_CHECKING:
    from finetune_api.validation import Finding
    from finetune_cli.cluster.client import Cluster
    from finetune_cli.manifests import JobDocument, ManifestFile, PresetDocument


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune submit`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="manifest, or - for standard input")
    add_set(parser)
    add_cluster(parser)
    add_dry_run(parser)
    add_output(parser, default="name")
    add_wait(parser, "every job has ended")
    parser.add_argument(
        "--force-conflicts", action="store_true", help="take over fields that someone else has set"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, send, and wait if asked to."""
    from finetune_cli.cluster.output import as_list, name_of, print_object

    if arguments.dry_run == "client":
        sent = _checked(arguments, None)
    else:
        with cluster_of(arguments) as cluster:
            sent = [_send(cluster, manifest, arguments) for manifest in _checked(arguments, cluster)]
    if arguments.output in ("json", "yaml"):
        print_object(as_list(sent), arguments.output)
    else:
        done = "" if arguments.output == "name" else f" submitted{dry_run_note(arguments)}"
        for item in sent:
            print(f"{name_of(item)}{done}")
    if not arguments.wait or arguments.dry_run != "none":
        return 0
    from finetune_cli.commands.watch import watch_all

    jobs = [item["metadata"] for item in sent if item["kind"] == JOB_KIND]
    with cluster_of(arguments) as cluster:
        ends = [watch_all(cluster.within(job["namespace"]), [job["name"]], arguments.timeout) for job in jobs]
    return max(ends, default=0)


def _checked(arguments: argparse.Namespace, cluster: "Cluster | None") -> list[dict[str, Any]]:
    """Return what is to be sent, presets first. Raises `CommandError` if anything is wrong with it."""
    from finetune_api.presets.check import check_preset
    from finetune_api.validation import check_manifest
    from finetune_api.validation.codes import Code
    from finetune_api.validation.findings import error

    nameless = error(Code.MISSING_FIELD, "metadata.name", "is required in a cluster", "Set metadata.name")
    files = [_loaded(source) for source in arguments.files]
    manifests, refused = [], False
    presets: dict[str, PresetDocument] = {}
    for file in files:
        for preset in file.presets.values():
            refused |= _refuses(file.label, preset, check_preset(preset.body))
            manifests.append(dict(preset.body))
        presets |= file.presets
    for label, job in ((file.label, job) for file in files for job in file.jobs):
        body = _prepared(label, job, presets, arguments.overrides, cluster)
        refused |= _refuses(label, job, [*check_manifest(body)[1], *([] if job.name else [nameless])])
        manifests.append({key: value for key, value in body.items() if key != "status"})
    if refused:
        raise CommandError("nothing is sent: fix the errors first", INVALID)
    return manifests


def _loaded(source: str) -> "ManifestFile":
    from finetune_cli.manifests import label_of, load
    from finetune_cli.yaml_reader import YamlError

    try:
        return load(source)
    except YamlError as error:
        raise CommandError(error.about(label_of(source)), INVALID) from None


def _prepared(
    label: str,
    job: "JobDocument",
    presets: Mapping[str, "PresetDocument"],
    overrides: Sequence[str],
    cluster: "Cluster | None",
) -> Mapping[str, Any]:
    from finetune_cli.overrides import apply_overrides
    from finetune_cli.preparation import prepare
    from finetune_cli.yaml_reader import YamlError

    try:
        known = {**presets, **_in_cluster(job, apply_overrides(job.body, overrides), presets, cluster)}
        return prepare(job, known, overrides).body
    except YamlError as error:
        raise CommandError(error.about(label), INVALID) from None


def _refuses(label: str, document: "JobDocument | PresetDocument", findings: "list[Finding]") -> bool:
    """Print the findings. Returns whether there is an error among them."""
    from finetune_api.validation import errors_in
    from finetune_cli.findings import place

    for placed in place(document, findings):
        print(placed.line(label), file=sys.stderr)
    return bool(errors_in(findings))


def _in_cluster(
    job: "JobDocument",
    body: Mapping[str, Any],
    known: Mapping[str, "PresetDocument"],
    cluster: "Cluster | None",
) -> "dict[str, PresetDocument]":
    """Return the preset that a job's `body` names, where only its namespace in the cluster has it."""
    from finetune_api.presets import builtin_preset
    from finetune_cli.cluster.client import Refusal
    from finetune_cli.manifests import preset_in
    from finetune_cli.yaml_reader import YamlDocument

    spec, metadata = body.get("spec"), body.get("metadata")
    name = spec.get("preset") if isinstance(spec, dict) else None
    if cluster is None or not isinstance(name, str) or name in known:
        return {}
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    try:
        found = cluster.within(namespace or cluster.namespace).preset(name)
    except Refusal as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND or builtin_preset(name) is not None:
            return {}
        raise
    return {name: preset_in(YamlDocument(found, job.document.position))}


def _send(cluster: "Cluster", manifest: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    from finetune_cli.cluster.client import Refusal

    wanted = manifest["metadata"].get("namespace") or cluster.namespace
    if wanted != cluster.namespace and arguments.namespace:
        raise CommandError(f"metadata.namespace is {wanted}, and -n says {arguments.namespace}: drop one")
    target = cluster.within(wanted)
    try:
        return target.apply(manifest, dry_run=arguments.dry_run == "server", force=arguments.force_conflicts)
    except Refusal as refusal:
        if refusal.reason != "Conflict":
            raise
        hint = "--force-conflicts takes these fields over"
        raise CommandError(f"{refusal.message}. {hint}", INVALID) from None
