"""The 95 % score interval of a share (Wilson 1927) as SQL, for tables that hold millions of shares."""

from __future__ import annotations

_Z = 1.959963984540054


def _parts(successes: str, trials: str) -> tuple[str, str]:
    n = f"cast({trials} as double)"
    share = f"({successes} / {n})"
    middle = f"({share} + {_Z * _Z / 2} / {n}) / (1 + {_Z * _Z} / {n})"
    half = f"{_Z} / (1 + {_Z * _Z} / {n}) * sqrt({share} * (1 - {share}) / {n} + {_Z * _Z / 4} / ({n} * {n}))"
    return middle, half


def wilson_low_sql(successes: str, trials: str) -> str:
    """The lower end, a fraction; null where `trials` is 0."""
    middle, half = _parts(successes, trials)
    return f"case when {trials} > 0 then greatest({middle} - {half}, 0) end"


def wilson_high_sql(successes: str, trials: str) -> str:
    """The upper end, a fraction; null where `trials` is 0."""
    middle, half = _parts(successes, trials)
    return f"case when {trials} > 0 then least({middle} + {half}, 1) end"
