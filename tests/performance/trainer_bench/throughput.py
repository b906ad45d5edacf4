"""Real tokens per second, loss curve and memory, against TRL."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from trainer_bench import ours, theirs
from trainer_bench.scenarios import Scenario
from trainer_bench.turns import Contestant, Lap, race
from trainer_bench.workload import write_records

SAME_CURVE = 1e-4
"""Largest relative difference of two losses of the same step, in fp32: other kernels add in another order,
and training carries that on."""

FEWEST_LOSSES = 8


@dataclass(frozen=True)
class Comparison:
    """Ours against TRL in one scenario. A ratio is of medians over the rounds; its spread, of the rounds' own
    ratios (first and third quartile)."""

    scenario: str
    rounds: int
    tokens_per_second: float
    trl_tokens_per_second: float
    speed: float
    speed_quartiles: tuple[float, float]
    least_speed: float
    memory: float
    """Peak resident memory, ours over TRL's."""
    curve: float
    """Largest relative difference of the losses."""
    trl_unpacked: float | None = None
    """Where packing is compared: TRL's tokens per second on the same records, grouped by length instead."""

    @property
    def holds(self) -> bool:
        """Whether every target is met."""
        return self.speed >= self.least_speed and self.memory <= 1.0 and self.curve <= SAME_CURVE

    def row(self) -> str:
        """For the table."""
        low, high = self.speed_quartiles
        return (
            f"{self.scenario:38} {self.tokens_per_second:7.0f} {self.trl_tokens_per_second:7.0f} "
            f"{self.speed:6.2f} ({low:.2f}-{high:.2f}) >= {self.least_speed:.1f}  {self.memory:6.2f}  "
            f"{self.curve:8.1e}  {'holds' if self.holds else 'MISSED'}"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"holds": self.holds}


HEADER = (
    f"{'scenario':38} {'tokens/s':>7} {'TRL':>7} {'ratio (quartiles)':>20} {'target':>6} {'memory':>7}  "
    f"{'curve':>8}"
)


def compare(scenario: Scenario, model: Path, work: Path, rounds: int, steps: int) -> Comparison:
    """Both trainers, block by block in turns. Packed, TRL's better way of the two is what counts."""
    data = write_records(work / "train.jsonl", scenario.lengths, scenario.records)

    def start(name: str, main: Any, what: Scenario) -> Contestant:
        directory = work / name
        directory.mkdir()
        return Contestant(name, main, what, model, data, directory, rounds, steps)

    us, trl = start("ours", ours.main, scenario), start("trl", theirs.main, scenario)
    everybody = [us, trl]
    if scenario.packing:
        unpacked = replace(
            scenario, packing=False, sampling="groupByLength", micro_batch=5 * scenario.micro_batch
        )
        everybody.append(start("trl-unpacked", theirs.main, unpacked))
    race(everybody, rounds)
    summaries = [contestant.summary() for contestant in everybody]
    best = max(everybody[1:], key=lambda contestant: middle(contestant.laps))
    ratios = [rate(mine) / rate(other) for mine, other in zip(us.laps, best.laps, strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return Comparison(
        scenario=scenario.name,
        rounds=rounds,
        tokens_per_second=middle(us.laps),
        trl_tokens_per_second=middle(trl.laps),
        speed=middle(us.laps) / middle(best.laps),
        speed_quartiles=(low, high),
        least_speed=scenario.least,
        memory=summaries[0].peak_bytes / summaries[everybody.index(best)].peak_bytes,
        curve=difference(summaries[0].losses, summaries[1].losses),
        trl_unpacked=middle(everybody[2].laps) if scenario.packing else None,
    )


def rate(lap: Lap) -> float:
    """Real tokens per second of one block."""
    return lap.tokens / lap.seconds


def middle(laps: list[Lap]) -> float:
    """Median over the rounds."""
    return median(map(rate, laps))


def difference(mine: list[float], others: list[float]) -> float:
    """The largest relative one, over the steps that both have logged."""
    pairs = list(zip(mine, others, strict=False))
    if len(pairs) < FEWEST_LOSSES:
        raise AssertionError(f"only {len(pairs)} losses to compare")
    return max(abs(one - other) / other for one, other in pairs)
