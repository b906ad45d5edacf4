"""How often the host would wait for a GPU."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Waits(TorchDispatchMode):
    """Counts how often the host asks for one number of a tensor, for which it would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, operation: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **kwargs or {})
