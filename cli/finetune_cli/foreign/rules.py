"""What one key of a foreign configuration means for a job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Mapped:
    """The key says these values of the spec, by path. A weak one gives way to a key that says it outright."""

    values: Mapping[str, Any]
    note: str = ""
    weak: bool = False


@dataclass(frozen=True)
class NotMapped:
    """The key has no place in a job; `reason` says why."""

    reason: str


Result = Mapped | NotMapped


@dataclass(frozen=True)
class To:
    """The same value under a path of ours."""

    path: str

    def read(self, value: Any) -> Result:
        """Return what the value means."""
        return Mapped({self.path: value})


@dataclass(frozen=True)
class Choice:
    """A value by another name. Where two of theirs are one of ours, the first is the one that is written."""

    path: str
    names: Mapping[Any, Any] = field(default_factory=dict)
    otherwise: str = ""
    """What happens to any other value, where there is more to say than that nothing corresponds to it."""
    notes: Mapping[Any, str] = field(default_factory=dict)
    """What else is to be said of some of the values."""

    def read(self, value: Any) -> Result:
        """Return what the value means."""
        if isinstance(value, bool | str | int | None) and value in self.names:
            return Mapped({self.path: self.names[value]}, self.notes.get(value, ""))
        return NotMapped(self.otherwise or f"{self.path} has nothing that corresponds to {value!r}")

    def write(self, value: Any) -> Any:
        """Return their name for our value; None if they have none."""
        return next((theirs for theirs, ours in self.names.items() if ours == value), None)


@dataclass(frozen=True)
class Read:
    """A meaning that takes a function to find."""

    function: Callable[[Any], Result]

    def read(self, value: Any) -> Result:
        """Return what the value means."""
        return self.function(value)


@dataclass(frozen=True)
class Left:
    """A key that has no place in a job."""

    reason: str
    may_be_off: bool = False
    """Whether false is as good as absent."""

    def read(self, value: Any) -> Result:
        """Return why not."""
        if self.may_be_off and value is False:
            return Mapped({}, "off, as it is without it")
        return NotMapped(self.reason)


Rule = To | Choice | Read | Left
Table = Mapping[str, Rule]


def flag(when_true: Mapping[str, Any], *, weak: bool = False) -> Read:
    """Return the rule of a key whose `true` says these values, and whose `false` says nothing."""

    def read(value: Any) -> Result:
        if value == "auto":
            return Mapped({}, "the machine decides, as it does here")
        if value is True:
            return Mapped(when_true, weak=weak)
        return (
            Mapped({}, "off, as it is without it")
            if value is False
            else NotMapped(f"{value!r} is no yes or no")
        )

    return Read(read)


def left(reason: str, *keys: str) -> dict[str, Left]:
    """Return the rules of keys that have no place in a job, for one reason; off is as good as absent."""
    return {key: Left(reason, may_be_off=True) for key in keys}


def switch(path: str, on: Any, off: Any) -> Choice:
    """Return the rule of a yes or no that is a choice of ours."""
    return Choice(path, {True: on, False: off})


def listed(path: str) -> Read:
    """Return the rule of a list, or a text with commas."""

    def read(value: Any) -> Result:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list):
            return NotMapped(f"{value!r} is no list")
        return Mapped({path: [item.strip() if isinstance(item, str) else item for item in items]})

    return Read(read)


def unless(nothing: Any, path: str, meaning: str) -> Read:
    """Return the rule of a number whose value `nothing` means that it is not set."""
    return Read(
        lambda value: Mapped({}, f"{nothing} means {meaning}") if value == nothing else Mapped({path: value})
    )


def steps_or_ratio(value: Any) -> Result:
    """Read a warm-up: a share of the run below 1, else steps."""
    if isinstance(value, float) and 0 < value < 1:
        return Mapped({"training.schedule.warmupRatio": value})
    if value == 0:
        return Mapped({}, "0 means that the ratio decides")
    return Mapped({"training.schedule.warmupSteps": int(value)})


def model(value: Any) -> Result:
    """Read a hub id or a directory."""
    text = str(value)
    if text.startswith(("/", ".", "~")) or text.count("/") > 1:
        return Mapped(
            {"model.path": text}, "" if text.startswith("/") else "only `finetune run` reads relative paths"
        )
    return Mapped({"model.id": text})


def data(section: str) -> Read:
    """Return the rule of a data set: a file, or an id on the hub."""

    def read(value: Any) -> Result:
        text = str(value)
        is_file = text.startswith(("/", ".", "~")) or text.endswith(
            (".json", ".jsonl", ".csv", ".txt", ".parquet")
        )
        if is_file:
            note = (
                ""
                if text.startswith("/")
                else "only `finetune run` reads relative paths; on a cluster use pvc"
            )
            return Mapped({f"{section}.path": text}, note)
        return Mapped({f"{section}.hub.id": text})

    return Read(read)


def trackers(value: Any) -> Result:
    """Read `report_to`: a name, or a list of names."""
    names = [value] if isinstance(value, str) else list(value or [])
    known = {"tensorboard", "wandb", "mlflow", "trackio"}
    ours = [{"comet_ml": "comet"}.get(name, name) for name in names if name not in ("none", "all")]
    if not ours:
        return Mapped({}, "no tracker")
    if set(ours) - known - {"comet"}:
        return NotMapped(f"there is no tracker {', '.join(sorted(set(ours) - known))}")
    return Mapped({"tracking.trackers": [{"type": name} for name in ours]}, "set tracking.project too")


STRATEGIES = "the number of steps beside it says it"


def strategy(steps: str, epoch: str) -> Read:
    """Return the rule of a `…_strategy`: no, steps or epoch."""

    def read(value: Any) -> Result:
        match value:
            case "steps":
                return Mapped({}, STRATEGIES)
            case "epoch":
                return Mapped({epoch: True, steps: 0})
            case "no" | False:
                return Mapped({steps: 0})
        return NotMapped(f"{value!r} is neither no, steps nor epoch")

    return Read(read)
