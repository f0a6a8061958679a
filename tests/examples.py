"""How many examples hypothesis draws where each is dear."""

from __future__ import annotations

import hypothesis

# What CI's profile draws where nothing else is said (conftest.py).
_IN_CI = 100


def dear(in_ci: int) -> int:
    """So many in CI; where fewer are drawn in general, a share of them, and three at least."""
    return max(in_ci * min(hypothesis.settings().max_examples, _IN_CI) // _IN_CI, 3)
