"""What a stage measures beside its loss: the mean over a step, whatever ranks and micro-batches it had."""

from collections.abc import Mapping, Sequence

import torch

from finetune_trainer.distributed import sum_over_ranks


class Measurements:
    """Sums and counts by name. They stay on the device until somebody asks."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, measured: Mapping[str, torch.Tensor]) -> None:
        """Takes in the values of one micro-batch; a name may have none."""
        for name, values in measured.items():
            if name not in self.names:
                raise KeyError(name)
            total = values.detach().double().sum()
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._counts[name] = self._counts.get(name, 0) + values.numel()

    def take(self) -> dict[str, float]:
        """The mean of each over all ranks, and begins anew; names without a value are left out. A collective:
        every rank calls it."""
        if not self.names:
            return {}
        sums = dict.fromkeys(self.names, 0.0)
        if self._sums:
            device = next(iter(self._sums.values())).device
            # the host waits for a GPU once, not for every name
            totals = torch.stack([total.to(device) for total in self._sums.values()]).tolist()
            sums |= dict(zip(self._sums, totals, strict=True))
        counts = {name: float(self._counts.get(name, 0)) for name in self.names}
        self._sums, self._counts = {}, {}
        summed = sum_over_ranks(*(part for name in self.names for part in (sums[name], counts[name])))
        return {
            name: summed[2 * place] / summed[2 * place + 1]
            for place, name in enumerate(self.names)
            if summed[2 * place + 1]
        }
