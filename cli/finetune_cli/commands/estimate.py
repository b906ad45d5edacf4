"""Estimate what a job needs before it runs: memory per device, steps, time, money, energy and carbon.

Flags supply what the manifest does not say. `-o json` prints one object with the keys fits,
nearestFit, memoryPerDeviceGiB, durationSeconds, tokensPerSecond, steps, costUSD, energyKWh and carbonGrams;
where fields say auto also automatic, with what they become and the figures of that run; with --fit also
fit: {cheapest, fastest}, each {changes, memoryPerDeviceGiB, durationSeconds, costUSD}, or null; with
--explain also explanation, a list of {name, formula, numbers}. A file with several jobs needs --job.
docs/estimates.md explains each figure, and how far off it has been.

exit status: 0 the job is expected to fit, 1 it is not, or the manifest can't be estimated, 2 usage error
"""

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from finetune_cli import json_writer
from finetune_cli.argument_types import count
from finetune_cli.arguments import add_hardware, add_job, add_set, add_table_or_json
from finetune_cli.errors import INVALID, CommandError

if TYPE_CHECKING:
    from finetune_api.estimate import Decided, Estimate, Fit
    from finetune_api.job import FineTuneJob


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune estimate`."""
    parser.add_argument("file", metavar="FILE", help="manifest, or - for standard input")
    parser.add_argument("--accelerator", metavar="NAME", help="device, by its name in `finetune hardware`")
    parser.add_argument("--devices", type=count, metavar="N", help="number of devices, on all nodes together")
    parser.add_argument("--records", type=count, metavar="N", help="records of the training data")
    parser.add_argument("--tokens", type=count, metavar="N", help="tokens of the training data")
    add_hardware(parser)
    add_job(parser)
    add_set(parser)
    parser.add_argument("--fit", action="store_true", help="propose the cheapest and the fastest that fits")
    parser.add_argument("--explain", action="store_true", help="print each formula with its numbers")
    add_table_or_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Estimate one job. Returns 1 where it does not fit, or can't be estimated."""
    from finetune_cli.effective import read_job
    from finetune_cli.estimates import EstimateError

    # Only the form is checked: what this version can't run yet, or what would not fit, can be estimated too.
    _, job = read_job(arguments.file, arguments.job, arguments.overrides)
    try:
        found = _found(job, arguments)
    except (EstimateError, ValueError) as error:
        raise CommandError(str(error), INVALID) from None
    if arguments.output == "json":
        print(json_writer.dump(_json_object(found, arguments)))
    else:
        print(_page(job, found, arguments))
    return 0 if found.run.fits else 1


class Found(NamedTuple):
    """What is estimated of a job."""

    run: "Estimate"
    """As it will run, with every auto decided."""

    automatic: "Decided | None"
    """What auto becomes."""

    nearest: "Fit | None"
    proposal: "tuple[Fit, Fit] | None"


def _found(job: "FineTuneJob", arguments: argparse.Namespace) -> Found:
    from finetune_api.estimate import decided, estimate, nearest_fit, propose_fit
    from finetune_cli.estimates import catalog_for, chosen_accelerator

    catalog = catalog_for(arguments.hardware)
    accelerator = chosen_accelerator(job, arguments.accelerator, catalog)
    place = {"accelerator": accelerator, "devices": arguments.devices, "catalog": catalog}
    data = {"records": arguments.records, "tokens": arguments.tokens}
    automatic = decided(job, **place, **data)
    run = automatic.estimate if automatic else estimate(job, **place, **data)
    return Found(
        run,
        automatic,
        None if run.fits else nearest_fit(job, **place),
        propose_fit(job, **place, **data) if arguments.fit else None,
    )


def _json_object(found: Found, arguments: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from finetune_api.estimate.explain import explain
    from finetune_cli.estimates import fit_object

    shown = found.automatic.undecided if found.automatic else found.run
    told: dict[str, Any] = {"fits": found.run.fits}
    told["nearestFit"] = found.nearest.text if found.nearest else None
    told |= shown.to_json_object()
    if found.automatic and found.automatic.differs:
        told["automatic"] = found.automatic.to_json_object()
    if arguments.fit:
        told["fit"] = fit_object(found.proposal)
    if arguments.explain:
        told["explanation"] = [asdict(line) for line in explain(found.run)]
    return told


def _page(job: "FineTuneJob", found: Found, arguments: argparse.Namespace) -> str:
    from finetune_cli.estimates import explanation, page, proposals

    parts = [page(job, found.run, found.nearest, found.automatic)]
    parts += [explanation(found.run)] if arguments.explain else []
    parts += [proposals(found.proposal)] if arguments.fit else []
    return "\n\n".join(parts)
