"""Imports without looking for garbage among what they make, all of which stays: a tenth of what Dagster's cost.

Called by the command line, and where something large is imported late. What is garbage while `after_imports` runs stays
as well: it is to be called once for what is imported once.
"""

from __future__ import annotations

import atexit
import gc

_OBJECTS = 50_000
_OBJECTS_WHILE_IMPORTING = 1_000_000


def before_imports() -> None:
    """Look for garbage only where it gets out of hand."""
    gc.set_threshold(_OBJECTS_WHILE_IMPORTING, 20, 50)


def are_over() -> bool:
    """Whether this process has its imports behind it. What is frozen would say so too, and takes long to count."""
    return gc.get_threshold()[0] == _OBJECTS


def after_imports() -> None:
    """Look for garbage again, but never among what is there by now."""
    gc.freeze()
    # At the end all of it is garbage.
    atexit.register(gc.unfreeze)
    gc.set_threshold(_OBJECTS, 20, 50)
