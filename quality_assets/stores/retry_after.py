"""How long the other side of a request asks to wait. It imports little: the process that sends does."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


def asked_wait_s(retry_after: str | None, longest_s: float) -> float | None:
    """The seconds of a Retry-After (RFC 9110, 10.2.3), at most `longest_s`; None where there is none, or it says
    neither seconds nor a date.
    """
    if retry_after is None:
        return None
    try:
        is_seconds = retry_after.isdecimal()
        wait_s = float(retry_after) if is_seconds else parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), longest_s)
