"""`python -m finetune_operator --config FILE`: run the operator until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from finetune_operator import logs
from finetune_operator.app import Operator
from finetune_operator.cluster import Cluster
from finetune_operator.settings import Settings, SettingsError, load_settings

logger = logging.getLogger(__name__)


def main() -> int:
    """Run; returns the exit status: 0 stopped, 1 something that must run for ever ended, 2 bad settings."""
    parser = argparse.ArgumentParser(prog="python -m finetune_operator", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, YAML")
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.config)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(_serve(settings))
    except RuntimeError as error:
        logger.error("%s: %r", error, error.__cause__)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    async with Cluster.connect() as cluster:
        operator = asyncio.create_task(Operator(settings, cluster).run(stop, ready))
        take_signals = asyncio.create_task(ready.wait())
        _stop_on_signals(stop)
        await asyncio.wait({operator, take_signals}, return_when=asyncio.FIRST_COMPLETED)
        take_signals.cancel()
        _stop_on_signals(stop)  # Kopf has put its own handlers there, which would end it before the workers
        await operator


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


if __name__ == "__main__":
    sys.exit(main())
