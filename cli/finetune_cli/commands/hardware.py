"""List the accelerators that estimates know: memory, throughput, power, and a typical price.

GiB and GB/s are of its memory, TFLOP/s of dense bf16 (fp16 where there is no bf16). Prices are typical list
prices; administrators set their own, which --hardware-file lays over the catalog. -o json has more of each
device, under the names that such a file has, and of its price the source and the date.

exit status: 0 listed, 1 the file can't be used, 2 usage error
"""

import argparse

from finetune_cli import json_writer
from finetune_cli.arguments import add_hardware, add_table_or_json
from finetune_cli.errors import INVALID, CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune hardware`."""
    add_hardware(parser)
    add_table_or_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the catalog."""
    from dataclasses import asdict

    from finetune_cli.estimates import EstimateError, catalog_for
    from finetune_cli.tables import paragraph, table

    try:
        catalog = catalog_for(arguments.hardware)
    except (EstimateError, ValueError) as error:
        raise CommandError(str(error), INVALID) from None
    if arguments.output == "json":
        print(json_writer.dump(json_writer.camel_case([asdict(item) for item in catalog.accelerators])))
        return 0
    rows = [
        [
            item.name,
            item.title,
            f"{item.memory_gib:.1f}",
            f"{item.tflops.get('bf16', item.tflops.get('fp16', 0)):.0f}",
            f"{item.bandwidth_gbs:.0f}",
            f"{item.watts:.0f}",
            f"{item.price.usd_per_hour:.2f}" if item.price else "-",
        ]
        for item in catalog.accelerators
    ]
    print(table(["name", "device", "GiB", "TFLOP/s", "GB/s", "watts", "$/hour"], rows))
    carbon = catalog.carbon
    source = f"({carbon.source}, {carbon.date})"
    grid = f"grid {carbon.region}: {carbon.grams_per_kwh:.0f} g CO2 per kWh {source}; PUE {catalog.pue}"
    print(f"\n{paragraph(grid)}")
    return 0
