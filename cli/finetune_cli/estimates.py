"""What `finetune estimate` reads and prints: the job, the hardware, the table and the explanation."""

from pathlib import Path
from typing import Any

from finetune_api.estimate import Decided, Estimate, Fit, Range
from finetune_api.estimate.explain import explain
from finetune_api.hardware import Accelerator, HardwareCatalog, named_accelerator, parse_overrides
from finetune_api.job import FineTuneJob
from finetune_cli.tables import table
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
    gib = result.memory.parts.gib()
    capacity = result.accelerator.memory_gib
    rows = [[name, f"{value:.2f} GiB", _bar(value / capacity)] for name, value in gib.items()]
    low, expected, high = (
        value / 2**30 for value in (result.memory.low, result.memory.expected, result.memory.high)
    )
    rows.append(["all", f"{expected:.2f} GiB", _bar(expected / capacity)])
    steps, speed = result.steps.steps, result.tokens_per_second
    duration, cost = result.duration_seconds, result.cost
    verdict = "fits" if result.fits else "can't fit" if result.cannot_fit else "is not expected to fit"
    lines = [
        f"{job.metadata.name or 'job'} on {result.setup.ranks} × {result.accelerator.title}: {verdict}",
        "",
        table(["memory", "per device", f"of {capacity:.1f} GiB"], rows),
        f"between {low:.1f} and {high:.1f} GiB",
        "",
        f"steps      {steps.expected:,.0f}" + ("" if result.steps.exact else _between(steps)),
        f"speed      {speed.expected:,.0f} tokens/s{_between(speed)}, limited by {result.throughput.bound}",
        f"time       {_time(duration.expected)} (between {_time(duration.low)} and {_time(duration.high)})",
        f"cost       {_dollars(result)}",
        f"energy     {cost.energy_kwh.expected:.2f} kWh "
        f"(between {cost.energy_kwh.low:.2f} and {cost.energy_kwh.high:.2f})",
        f"carbon     {cost.carbon_grams.expected / 1000:.2f} kg CO2 "
        f"(between {cost.carbon_grams.low / 1000:.2f} and {cost.carbon_grams.high / 1000:.2f})",
    ]
    if automatic is not None:
        before = automatic.undecided.memory
        lines.append(
            f"auto       {automatic.text}: without that, about {before.expected / 2**30:.0f} GiB, and up to "
            f"{before.high / 2**30:.0f}"
        )
    lines += [f"assumed    {assumption}" for assumption in result.steps.assumptions]
    if nearest is not None:
        lines += ["", f"would fit  {nearest.text}"]
    return "\n".join(lines)


def fit_object(proposal: tuple[Fit, Fit] | None) -> dict[str, Any] | None:
    """Return the cheapest and the fastest setting as `-o json` shows them; None where nothing fits."""
    if proposal is None:
        return None
    return {
        name: {
            "changes": fit.changes,
            "memoryPerDeviceGiB": round(fit.estimate.memory.expected / 2**30, 3),
            "durationSeconds": round(fit.estimate.duration_seconds.expected, 3),
            "costUSD": None if (usd := fit.estimate.cost.usd) is None else round(usd.expected, 4),
        }
        for name, fit in zip(("cheapest", "fastest"), proposal, strict=True)
    }


def proposals(proposal: tuple[Fit, Fit] | None) -> str:
    """Return the cheapest and the fastest setting for people, one per line."""
    if proposal is None:
        return "nothing that was tried fits with this effective batch"
    lines = []
    for name, fit in zip(("cheapest", "fastest"), proposal, strict=True):
        gib, hours = fit.estimate.memory.expected / 2**30, fit.estimate.duration_seconds.expected / 3600
        lines.append(f"{name}: {gib:.1f} GiB, {hours:.2f} h: {fit.text or 'as it is'}")
    return "\n".join(lines)


def difference(before: Estimate, after: Estimate) -> dict[str, tuple[str, str]]:
    """Return what differs between two estimates, for people: before and after by the name of the figure."""

    def shown(result: Estimate) -> dict[str, str]:
        usd, carbon = result.cost.usd, result.cost.carbon_grams.expected / 1000
        return {
            "memory per device": f"{result.memory.expected / 2**30:.1f} GiB",
            "fits": "yes" if result.fits else "no",
            "steps": f"{result.steps.steps.expected:,.0f}",
            "time": _time(result.duration_seconds.expected),
            "cost": "unknown" if usd is None else f"${usd.expected:.2f}",
            "carbon": f"{carbon:.2f} kg CO2",
        }

    one, other = shown(before), shown(after)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


def explanation(result: Estimate) -> str:
    """Return each formula with its numbers, one per line."""
    return "\n".join(f"{line.name}: {line.formula}\n    = {line.numbers}" for line in explain(result))


def _between(figure: Range) -> str:
    return f" (between {figure.low:,.0f} and {figure.high:,.0f})"


def _bar(share: float) -> str:
    filled = min(BAR_WIDTH, round(share * BAR_WIDTH))
    return "█" * filled + "·" * (BAR_WIDTH - filled) + f" {share:.0%}"


def _dollars(result: Estimate) -> str:
    usd, price = result.cost.usd, result.accelerator.price
    if usd is None or price is None:
        return "unknown: the catalog has no price for this device"
    per_hour = f"${price.usd_per_hour:.2f} per device and hour, {price.source}, {price.date}"
    return f"${usd.expected:.2f} (between ${usd.low:.2f} and ${usd.high:.2f}; {per_hour})"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
