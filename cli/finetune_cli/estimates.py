"""What `finetune estimate` reads and prints: the job, the hardware, the table and the explanation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_api.estimate import GIB, Decided, Estimate, Fit, Range
from finetune_api.estimate.explain import explain
from finetune_api.hardware import Accelerator, HardwareCatalog, named_accelerator, parse_overrides
from finetune_api.job import FineTuneJob
from finetune_cli.tables import paragraph, table
from finetune_cli.yaml_reader import YamlError, parse, read_bytes

BAR_WIDTH = 40


class EstimateError(Exception):
    """What keeps an estimate from being made; the text says why and what to do."""


def catalog_for(path: str | None) -> HardwareCatalog:
    """Return the hardware catalog, with the administrator's file over it. Raises `EstimateError`."""
    if path is None:
        return HardwareCatalog()
    try:
        documents = parse(read_bytes(Path(path)))
    except YamlError as error:
        raise EstimateError(error.about(path)) from None
    if len(documents) > 1 or not isinstance(documents[0].value, dict):
        raise EstimateError(f"{path}: must be one mapping. Write accelerators, region or pue, with values.")
    return parse_overrides(documents[0].value)


def chosen_accelerator(job: FineTuneJob, name: str | None, catalog: HardwareCatalog) -> Accelerator:
    """Return the accelerator of the flag, else of the job. Raises `EstimateError`."""
    accelerators = job.spec.resources.accelerators
    if name is None and (named := named_accelerator(accelerators, catalog)) is not None:
        return named
    wanted = name or accelerators.type
    if wanted is None:
        raise EstimateError(
            "the manifest names no accelerator: pass --accelerator, or set resources.accelerators.type. "
            "`finetune hardware` lists the names."
        )
    found = catalog.find(wanted)
    if found is None:
        names = ", ".join(item.name for item in catalog.accelerators)
        raise EstimateError(f"accelerator {wanted!r} is not in the catalog. Use one of {names}.")
    return found


def page(job: FineTuneJob, result: Estimate, nearest: Fit | None, automatic: Decided | None = None) -> str:
    """Return the estimate for people: a bar per component against the device's memory, then time and cost.
    `automatic` is what `auto` became, where `result` is the estimate of that."""
    verdict = "fits" if result.fits else "can't fit" if result.cannot_fit else "is not expected to fit"
    parts = [
        f"{job.metadata.name or 'job'} on {result.setup.ranks} × {result.accelerator.title}: {verdict}",
        _memory_table(result),
        "\n".join(_fact(name, text) for name, text in _facts(result, automatic)),
    ]
    if nearest is not None:
        parts.append(_fact("would fit", nearest.text))
    return "\n\n".join(parts)


def _memory_table(result: Estimate) -> str:
    memory, capacity = result.memory, result.accelerator.memory_gib
    parts = memory.parts.gib() | {"all": memory.expected / GIB}
    rows = [[name, f"{gib:.2f} GiB", _bar(gib / capacity)] for name, gib in parts.items()]
    bounds = f"between {memory.low / GIB:.1f} and {memory.high / GIB:.1f} GiB"
    return table(["memory", "per device", f"of {capacity:.1f} GiB"], rows) + "\n" + bounds


def _facts(result: Estimate, automatic: Decided | None) -> list[tuple[str, str]]:
    """What follows the memory, by name; `automatic` is that of `page`."""
    steps, cost = result.steps, result.cost
    speed = _spread(result.tokens_per_second, _whole, " tokens/s")
    facts = [
        ("steps", _whole(steps.steps.expected) if steps.exact else _spread(steps.steps, _whole)),
        ("speed", f"{speed}, limited by {result.throughput.bound}"),
        ("time", _spread(result.duration_seconds, _time)),
        *_money(result),
        ("energy", _spread(cost.energy_kwh, "{:,.2f}".format, " kWh")),
        ("carbon", _spread(cost.carbon_grams, _kilograms, " kg CO2")),
    ]
    if automatic is not None:
        before = automatic.undecided.memory
        without = f": without that, about {before.expected / GIB:.0f} GiB, and up to {before.high / GIB:.0f}"
        facts.append(("auto", automatic.text + (without if automatic.differs else "")))
    return facts + [("assumed", assumption) for assumption in result.steps.assumptions]


def fit_object(proposal: tuple[Fit, Fit] | None) -> dict[str, Any] | None:
    """Return the cheapest and the fastest setting as `-o json` shows them; None where nothing fits."""
    if proposal is None:
        return None
    return {
        name: {
            "changes": fit.changes,
            "memoryPerDeviceGiB": round(fit.estimate.memory.expected / GIB, 3),
            "durationSeconds": round(fit.estimate.duration_seconds.expected, 3),
            "costUSD": None if (usd := fit.estimate.cost.usd) is None else round(usd.expected, 4),
        }
        for name, fit in zip(("cheapest", "fastest"), proposal, strict=True)
    }


def proposals(proposal: tuple[Fit, Fit] | None) -> str:
    """Return the cheapest and the fastest setting for people, each in a paragraph."""
    if proposal is None:
        return "nothing that was tried fits with this effective batch"
    lines = []
    for name, fit in zip(("cheapest", "fastest"), proposal, strict=True):
        found = fit.estimate
        figures = [f"{found.memory.expected / GIB:.1f} GiB", _time(found.duration_seconds.expected)]
        figures += [_dollars(found.cost.usd.expected)] if found.cost.usd else []
        lines.append(_fact(name, f"{', '.join(figures)}: {fit.text or 'as it is'}"))
    return "\n".join(lines)


def difference(before: Estimate, after: Estimate) -> dict[str, tuple[str, str]]:
    """Return what differs between two estimates, for people: before and after by the name of the figure."""

    def shown(result: Estimate) -> dict[str, str]:
        usd = result.cost.usd
        return {
            "memory per device": f"{result.memory.expected / GIB:.1f} GiB",
            "fits": "yes" if result.fits else "no",
            "steps": _whole(result.steps.steps.expected),
            "time": _time(result.duration_seconds.expected),
            "cost": "unknown" if usd is None else _dollars(usd.expected),
            "carbon": f"{_kilograms(result.cost.carbon_grams.expected)} kg CO2",
        }

    one, other = shown(before), shown(after)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


def explanation(result: Estimate) -> str:
    """Return each formula, and below it the same with its numbers."""
    lines = []
    for line in explain(result):
        lines += [paragraph(f"{line.name}: {line.formula}", rest="    ")]
        lines += [paragraph(line.numbers, "    = ", "      ")]
    return "\n".join(lines)


def _fact(name: str, text: str) -> str:
    return paragraph(text, f"{name:11}", " " * 11)


def _bar(share: float) -> str:
    filled = min(BAR_WIDTH, round(share * BAR_WIDTH))
    return "█" * filled + "·" * (BAR_WIDTH - filled) + f" {share:.0%}"


def _spread(range_: Range, shown: Callable[[float], str], unit: str = "") -> str:
    return f"{shown(range_.expected)}{unit} (between {shown(range_.low)} and {shown(range_.high)})"


def _money(result: Estimate) -> list[tuple[str, str]]:
    usd, price = result.cost.usd, result.accelerator.price
    if usd is None or price is None:
        return [("cost", "unknown: the catalog has no price for this device")]
    per_hour = f"{_dollars(price.usd_per_hour)} per device and hour ({price.source}, {price.date})"
    return [("cost", _spread(usd, _dollars)), ("price", per_hour)]


def _dollars(usd: float) -> str:
    return f"${usd:,.2f}"


def _whole(figure: float) -> str:
    return f"{figure:,.0f}"


def _kilograms(grams: float) -> str:
    return f"{grams / 1000:,.2f}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.1f} days"
