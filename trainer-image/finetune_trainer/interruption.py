"""SIGTERM: remembered, and acted upon by all ranks together, at the next step boundary or between two
evaluation batches."""

import ctypes
import logging
import os
import signal
from types import FrameType

from finetune_trainer.errors import InterruptedRunError

log = logging.getLogger(__name__)


PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """From now on the kernel kills this process when its launcher is gone, however that came about."""
    launcher = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        os.kill(os.getpid(), signal.SIGKILL)


class StopRequest:
    """Whether this process was told to stop."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Installs the handlers; call it from the main thread."""
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)

    def check(self) -> None:
        """Raises `InterruptedRunError` when the process was told to stop; for moments with nothing to
        save."""
        if self.requested:
            raise InterruptedRunError("told to end before the first step")

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        log.warning("%s: the run ends at the next step boundary", signal.Signals(number).name)
