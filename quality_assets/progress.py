"""What the process is doing right now, for whoever shows it to a person. One listener at a time; none by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str], None]

_listeners: list[Listener] = []


def report(activity: str) -> None:
    """Say in a few words what is being done; cheap enough for every partition, not for every row."""
    if _listeners:
        _listeners[-1](activity)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told of every activity within."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


Progress = Callable[[str], None]


def no_progress(_: str) -> None:
    """For callers that do not report."""
