"""Locks that processes hold on a data root, each a file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def is_held(path: Path) -> bool:
    """Whether another process holds a lock; nobody does whose file was never made, as far as one may look.

    It is opened for reading: whoever looks may not be whoever writes here.
    """
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False
