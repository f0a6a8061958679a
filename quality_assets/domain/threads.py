"""Linear algebra on one thread: on a busy machine several spin and wait for each other longer than one works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


@contextmanager
def limited_threads() -> Iterator[None]:
    """Keep OpenMP and BLAS to one thread to fit."""
    # A library that is loaded later would not be limited.
    import sklearn  # noqa: F401

    with limited_loaded_threads():
        yield


@contextmanager
def limited_loaded_threads() -> Iterator[None]:
    """As `limited_threads`, to ask a model: what that takes is loaded with it, and may be little."""
    with ThreadpoolController().limit(limits=1):
        yield
