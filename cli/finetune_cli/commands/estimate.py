"""Estimate what a job needs before it runs: memory per device, steps, time, money, energy and carbon.

Flags supply what the manifest does not say. `-o json` prints one object with the keys fits,
nearestFit, memoryPerDeviceGiB, durationSeconds, tokensPerSecond, steps, costUSD, energyKWh and carbonGrams;
where fields say auto also automatic, with what they become and the figures of that run; with --fit also
fit: {cheapest, fastest}, each {changes, memoryPerDeviceGiB, durationSeconds, costUSD}, or null. A file with
several jobs needs --job. docs/estimates.md explains each figure, and how far off it has been.

exit status: 0 the job is expected to fit, 1 it is not, or the manifest can't be estimated, 2 usage error
"""

import argparse

from finetune_cli import json_writer
from finetune_cli.argument_types import count
from finetune_cli.arguments import add_hardware, add_job, add_set, add_table_or_json
from finetune_cli.errors import INVALID, CommandError


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
    from finetune_api.estimate import decided, estimate, nearest_fit, propose_fit
    from finetune_cli.effective import read_job
    from finetune_cli.estimates import (
        EstimateError,
        catalog_for,
        chosen_accelerator,
        explanation,
        fit_object,
        page,
        proposals,
    )

    # Only the form is checked: what this version can't run yet, or what would not fit, can be estimated too.
    _, job = read_job(arguments.file, arguments.job, arguments.overrides)
    try:
        catalog = catalog_for(arguments.hardware)
        accelerator = chosen_accelerator(job, arguments.accelerator, catalog)
        devices, records, tokens = arguments.devices, arguments.records, arguments.tokens
        counts = {"devices": devices, "records": records, "tokens": tokens}
        automatic = decided(job, accelerator, **counts, catalog=catalog)
        run = automatic.estimate if automatic else estimate(job, accelerator, **counts, catalog=catalog)
        nearest = None if run.fits else nearest_fit(job, accelerator, devices=devices, catalog=catalog)
        proposal = None
        if arguments.fit:
            proposal = propose_fit(job, accelerator, **counts, catalog=catalog)
    except (EstimateError, ValueError) as error:
        raise CommandError(str(error), INVALID) from None
    if arguments.output == "json":
        shown = automatic.undecided if automatic else run
        found = {"fits": run.fits, "nearestFit": nearest.text if nearest else None} | shown.to_json_object()
        if automatic:
            found["automatic"] = automatic.to_json_object()
        if arguments.fit:
            found["fit"] = fit_object(proposal)
        print(json_writer.dump(found))
    else:
        parts = [page(job, run, nearest, automatic)]
        parts += [explanation(run)] if arguments.explain else []
        parts += [proposals(proposal)] if arguments.fit else []
        print("\n\n".join(parts))
    return 0 if run.fits else 1
