"""Learning rates after a resume: what the schedule of this attempt says for its step.

A checkpoint holds the rates that its own schedule had come to: for a run that is now longer, those of the end
of a shorter decay.
"""

from typing import Any

from torch.optim.lr_scheduler import LambdaLR


def renew_rates(optimizer: Any, scheduler: Any) -> None:
    """Gives every parameter group the rate of the schedule's position. For a run of the same length these are
    the rates that it has."""
    if not isinstance(scheduler, LambdaLR):
        return
    rates = [
        base * factor(scheduler.last_epoch)
        for base, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates
