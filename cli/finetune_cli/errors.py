"""What ends a command early."""

INVALID = 1
USAGE = 2


class CommandError(Exception):
    """A command can't go on: `str(error)` says why and what to do; `status` is the exit status."""

    def __init__(self, message: str, status: int = USAGE) -> None:
        super().__init__(message)
        self.status = status
