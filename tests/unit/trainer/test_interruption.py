"""A SIGTERM is remembered, not obeyed at once."""

import os
import signal

import pytest

from finetune_trainer.errors import InterruptedRunError
from finetune_trainer.interruption import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_until_someone_asks(number: signal.Signals) -> None:
    stop = StopRequest()
    stop.listen()
    stop.check()
    os.kill(os.getpid(), number)
    assert stop.requested
    with pytest.raises(InterruptedRunError, match="before the first step"):
        stop.check()
