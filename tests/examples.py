"""How many examples hypothesis draws where each is dear."""

from __future__ import annotations

import hypothesis


def dear(of_a_hundred: int) -> int:
    """So many where a hundred are drawn in general (conftest.py says how many are), the same share of fewer, and three
    at least."""
    return max(of_a_hundred * min(hypothesis.settings().max_examples, 100) // 100, 3)
