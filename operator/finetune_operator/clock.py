"""What time it is: the API server's time, as its answers tell it.

Back-offs, deadlines and what is reported are measured between stamps of the API server and of the controllers
beside it, and now. Where the clock of the operator's node is off by hours, now is not what that clock says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

logger = logging.getLogger(__name__)

TOLERANCE = timedelta(seconds=10)
"""An answer may be on its way for seconds, and its header `Date` tells whole ones: less is no difference."""


class ClusterClock:
    """The own clock, set right by what the API server says."""

    def __init__(self, own: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`own` is the clock of the node that the operator runs on."""
        self._own = own
        self._offset = timedelta()

    def now(self) -> datetime:
        """The time in the cluster."""
        return self._own() + self._offset

    def heard(self, date: str | None) -> None:
        """An answer has come with this header `Date` (RFC 9110); what is no date tells nothing."""
        try:
            told = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if told.tzinfo is None:
            return
        offset = told - self._own()
        if abs(offset - self._offset) <= TOLERANCE:
            return
        self._offset = offset if abs(offset) > TOLERANCE else timedelta()
        logger.warning(
            "the clock of this node is %.0f s %s that of the API server, whose time counts",
            abs(self._offset).total_seconds(),
            "behind" if self._offset >= timedelta() else "ahead of",
        )
