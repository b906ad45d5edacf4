"""Send jobs to the cluster by server-side apply, as field manager `finetune`.

Each job is checked first, with its preset and --set filled in: an error sends nothing. Only FineTuneJobs are
sent; other objects in the files are for kubectl.

exit status: 0 sent (with --wait: trained), 1 refused or failed, 2 wrong use
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from finetune_cli.arguments import add_set
from finetune_cli.cluster.verb import add_cluster, add_dry_run, add_output, add_wait, cluster_of
from finetune_cli.errors import INVALID, CommandError

if TYPE_CHECKING:
    from finetune_cli.cluster.client import Cluster


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

    manifests = _checked(arguments)
    if arguments.dry_run == "client":
        jobs = manifests
    else:
        with cluster_of(arguments) as cluster:
            jobs = [_send(cluster, manifest, arguments) for manifest in manifests]
    if arguments.output in ("json", "yaml"):
        print_object(as_list(jobs), arguments.output)
    else:
        done = "submitted" if arguments.dry_run == "none" else f"submitted (dry run: {arguments.dry_run})"
        for job in jobs:
            print(name_of(job) if arguments.output == "name" else f"{name_of(job)} {done}")
    if not arguments.wait or arguments.dry_run != "none":
        return 0
    from finetune_cli.commands.watch import watch_all

    with cluster_of(arguments) as cluster:
        return watch_all(cluster, [job["metadata"]["name"] for job in jobs], arguments.timeout)


def _checked(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from finetune_api.validation import check_manifest, errors_in
    from finetune_cli.findings import place
    from finetune_cli.preparation import load_files, prepare
    from finetune_cli.yaml_reader import YamlError

    manifests, refused = [], False
    try:
        for file in load_files(arguments.files):
            for job in file.jobs:
                body = prepare(job, file.presets, arguments.overrides).body
                findings = check_manifest(body)[1]
                for placed in place(job, findings):
                    finding = placed.finding
                    print(f"{file.label}:{placed.position}: {finding.severity}: {finding}", file=sys.stderr)
                if not job.name:
                    where = job.document.locate("metadata")
                    print(
                        f"{file.label}:{where}: error: metadata.name is needed to apply it", file=sys.stderr
                    )
                refused |= bool(errors_in(findings)) or not job.name
                manifests.append({key: value for key, value in body.items() if key != "status"})
    except YamlError as error:
        raise CommandError(f"{error}. {error.remedy}", INVALID) from None
    if refused:
        raise CommandError("nothing is sent: mend the errors first", INVALID)
    if not manifests:
        raise CommandError("there is no FineTuneJob in the files", INVALID)
    return manifests


def _send(cluster: "Cluster", manifest: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    from finetune_cli.cluster.client import Refusal

    wanted = manifest["metadata"].get("namespace", cluster.namespace)
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
