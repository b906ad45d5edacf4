"""List the accelerators that estimates know: memory, throughput, power, and a typical price.

Throughput is dense bf16 (fp16 where there is no bf16). Prices are typical list prices, with their source and
date in `-o json`; administrators set their own.

exit status: 0
"""

import argparse
import json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune hardware`."""
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="form of the list")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalog."""
    from dataclasses import asdict

    from finetune_api.hardware import ACCELERATORS
    from finetune_cli.tables import table

    if arguments.output == "json":
        print(json.dumps([asdict(item) for item in ACCELERATORS], indent=2))
        return 0
    rows = [
        [
            item.name,
            item.title,
            f"{item.memory_gib:.1f} GiB",
            f"{item.tflops.get('bf16', item.tflops.get('fp16', 0)):.0f}",
            f"{item.bandwidth_gbs:.0f} GB/s",
            f"{item.watts:.0f} W",
            f"{item.price.usd_per_hour:.2f}" if item.price else "-",
        ]
        for item in ACCELERATORS
    ]
    print(table(["name", "device", "memory", "tflop/s", "bandwidth", "power", "$/hour"], rows))
    return 0
