"""How long something took, in milliseconds, as SQL: between two times, or of a text that says its units."""

from __future__ import annotations

from quality_assets.contracts.sources.columns import ColumnMapping
from quality_assets.domain.events.times import time_sql
from quality_assets.domain.sql_text import literal

# What .NET, Python and PostgreSQL write: [days] hours:minutes:seconds.
_CLOCK = r"[+-]?(?:(\d+)(?: days? ?|\.))?(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)"
_CLOCK_UNITS = ("864e5", "36e5", "6e4", "1e3")
# ISO 8601 without its P and T, Go, and words: 1m30.5s, 350 ms, 2 hours 5 minutes. Longer units come first.
_WORDS = {
    r"d(?:ays?)?": "864e5",
    r"h(?:(?:ou)?rs?)?": "36e5",
    r"m(?:in(?:ute)?s?)?": "6e4",
    r"s(?:ec(?:ond)?s?)?": "1e3",
    r"m(?:illi)?s(?:ec(?:ond)?s?)?": "1e0",
    r"(?:[u\x{00b5}\x{03bc}]|micro)s(?:ec(?:ond)?s?)?": "1e-3",
    r"n(?:ano)?s(?:ec(?:ond)?s?)?": "1e-6",
}
_AMOUNTS = r"\s*".join(rf"(?:(\d+(?:\.\d*)?|\.\d+)\s*{word})?" for word in _WORDS)


def duration_sql(text: str) -> str:
    """Milliseconds of a text such as 1.2s, 350 ms, 1m30s, PT1.2S or 00:00:01.2; null where it is none."""
    plain = f"lower({text})"
    # P1DT2H is 1d2h; what is left of P1M is no duration.
    units = rf"regexp_replace(regexp_replace({plain}, '^([+-]?)p([0-9.]+d)?t', '\1\2'), '^([+-]?)p([0-9.]+d)$', '\1\2')"
    clock = _sum(plain, _CLOCK, list(_CLOCK_UNITS))
    words = _sum(units, rf"[+-]?{_AMOUNTS}", list(_WORDS.values()))
    sign = f"CASE WHEN starts_with({text}, '-') THEN -1 ELSE 1 END"
    return (
        f"CASE WHEN regexp_full_match({plain}, {literal(_CLOCK)}) THEN {sign} * ({clock})"
        rf" WHEN regexp_full_match({units}, {literal('[+-]?' + _AMOUNTS)}) AND regexp_matches({units}, '\d')"
        f" THEN {sign} * ({words}) END"
    )


def _sum(text: str, pattern: str, factors: list[str]) -> str:
    parts = (
        f"coalesce(try_cast(nullif(regexp_extract({text}, {literal(f'^{pattern}$')}, {group}), '') AS DOUBLE), 0)"
        f" * {factor}"
        for group, factor in enumerate(factors, 1)
    )
    return " + ".join(parts)


def between_sql(end: str, begin: str, mapping: ColumnMapping) -> str:
    """Milliseconds from one time to another, both as the mapping says they are written; null where one is none."""
    first, last = (f"epoch_us({time_sql(text, mapping)})" for text in (begin, end))
    return f"({last} - {first}) / 1e3"
