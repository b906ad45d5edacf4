"""What the smaller benchmarks are asked on the command line."""

import argparse
import logging

ROUNDS = 5


def rounds_asked(description: str | None) -> int:
    """`--rounds`; from here on only errors are logged."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args().rounds
    logging.disable(logging.WARNING)
    return rounds
