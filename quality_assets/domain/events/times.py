"""Times as people write them, as SQL that makes instants of them."""

from __future__ import annotations

from quality_assets.contracts.sources.columns import ColumnMapping
from quality_assets.domain.events.texts import blankless_sql, number_sql
from quality_assets.domain.sql_text import literal

_MICROSECONDS = {"ns": "1e-3", "us": "1e0", "ms": "1e3", "s": "1e6"}
# 9999-12-31: later instants overflow in Python and in other readers of the lake.
_LAST_MICROSECOND = "2.534e17"

# By the bytes that a time has where each field has all its digits.
_ZULU_FORMATS = {"%Y-%m-%dT%H:%M:%S.%gZ": 24, "%Y-%m-%dT%H:%M:%SZ": 20, "%Y-%m-%dT%H:%M:%S.%fZ": 27}

_ISO_LOCAL = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?"
# ISO 8601's basic format, as AWS and Amadeus write it; by itself, and with its date and time taken apart.
_BASIC = r"^(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})(\d{2})"
_EXTENDED = r"\1-\2-\3T\4:\5:\6"
# Such a number of 14 digits is no epoch of milliseconds, which would be of the 27th century, but a date and a time.
_DIGITS = r"(19|20)\d{12}"
# RFC 3339, and what BigQuery (UTC), HTTP (GMT), Go (+0000 UTC), Java (seconds of the offset) and typesetters (a true
# minus) write.
_OFFSET = r"[+\x{2212}-](0\d|1[0-8])(:?[0-5]\d(:00)?)?"
_USUAL_OFFSET = r" ?([Zz]|[+-](0\d|1[0-8])(:?[0-5]\d)?)"
# Java names the zone behind the offset.
_ZONE_NAME = r"\[[A-Za-z][A-Za-z0-9_+/-]*\]"
_ISO_OFFSET = rf"( ?(Z|UTC|GMT)| ?{_OFFSET}( ?(Z|UTC))?)({_ZONE_NAME})?"


def time_sql(text: str, mapping: ColumnMapping, *, usual_only: bool = False) -> str:
    """An instant in UTC as TIMESTAMP; null where the text is none. What is finer than a microsecond is cut off.

    ISO 8601 with seconds and Z is read whatever the source declares, since it can mean one thing only. `usual_only`
    leaves out what is rarely written, which makes the statement cheaper to plan.
    """
    zulu = zulu_case(text)
    text = blankless_sql(text)
    if mapping.unit is not None:
        other = _epoch_sql(text, mapping.unit)
    elif mapping.format is not None:
        other = _formatted_sql(text, mapping.format, mapping.zone)
    else:
        other = (_usual_sql if usual_only else _iso_or_epoch_sql)(text, mapping.zone)
    # Not coalesce, for which DuckDB would trim all texts beforehand.
    return f"CASE {zulu} ELSE {other} END"


def zulu_case(text: str) -> str:
    """The WHEN of a CASE that takes up an instant in ISO 8601 with seconds and Z, without blanks around it."""
    # A fraction of what a regular expression costs, and nearly all times fit. Without blanks, all that a cast reads
    # between the seconds and the Z is a fraction; behind a blank it takes any word for a time zone.
    usual = f"{text} LIKE '____-__-__T__:__:__%Z' AND NOT contains({text}, ' ') AND NOT contains({text}, ',')"
    return f"WHEN {usual} THEN try_cast({text} AS TIMESTAMP)"


def zulu_cases(text: str) -> str:
    """As `zulu_case` but for times of day that no clock shows, as 24:00; cheaper where the fraction has a usual length.

    Read by a format, fields may have fewer digits, and blanks may stand around the whole: the length, the first
    character and the last leave room for neither.
    """
    cases = [
        f"WHEN strlen({text}) = {length} AND {text} >= '0' AND ends_with({text}, 'Z')"
        f" THEN try_strptime({text}, {literal(pattern)})"
        for pattern, length in _ZULU_FORMATS.items()
    ]
    return " ".join([*cases, zulu_case(text)])


def _formatted_sql(text: str, pattern: str, zone: str | None) -> str:
    """A time in a strptime format, whose seconds may have a fraction, and which UTC may follow."""
    whole = pattern.replace("%S.%f", "%S")
    formats = [pattern]
    if "%S" in pattern:
        formats = list(dict.fromkeys([pattern, whole, whole.replace("%S", "%S.%f", 1)]))
        text = f"regexp_replace({text}, '([.][0-9]{{6}})[0-9]+', '\\1')"
    if not pattern.upper().rstrip().endswith(("UTC", "GMT", "%Z")):
        text = f"regexp_replace({text}, '(?i) (UTC|GMT)$', '')"
    parsed = f"try_strptime({text}, [{', '.join(map(literal, formats))}])"
    return _instant_sql(parsed) if "%z" in pattern else _local_sql(parsed, zone)


def _usual_sql(text: str, zone: str | None) -> str:
    """ISO 8601 with an offset of hours and minutes, or an epoch in seconds, milliseconds or microseconds."""
    epoch = (
        f"make_timestamp(CAST({text} AS BIGINT) * "
        f"CASE WHEN length({text}) <= 11 THEN 1000000 WHEN length({text}) <= 14 THEN 1000 ELSE 1 END)"
    )
    upper = rf"regexp_replace(replace(upper({text}), ',', '.'), ' ([Z+-])', '\1')"
    cases = (
        f"WHEN regexp_full_match({text}, '[0-9]{{9,13}}|1[0-8][0-9]{{12}}|[0-9]{{15,17}}') THEN {epoch} "
        f"WHEN regexp_full_match({text}, {literal(_ISO_LOCAL + _USUAL_OFFSET)}) "
        f"THEN {_instant_sql(f'try_cast({upper} AS TIMESTAMPTZ)')}"
    )
    if zone is not None:
        local = _local_sql(f"try_cast({upper} AS TIMESTAMP)", zone)
        cases += f" WHEN regexp_full_match({text}, {literal(_ISO_LOCAL)}) THEN {local}"
    return f"CASE {cases} END"


def _iso_or_epoch_sql(text: str, zone: str | None) -> str:
    """ISO 8601, or an epoch whose unit shows in its number of whole digits: 9 to 11 s, to 14 ms, to 17 µs, to 19 ns.

    Fewer digits are no epoch of our days: 46328 is a day of a spreadsheet, and 20260201100000 is a time of some zone.
    What was a number with a fraction once, as a column with gaps is in pandas, has one here.
    """
    apart = f"regexp_replace({text}, {literal(_BASIC)}, {literal(_EXTENDED)})"
    # ISO 8601 allows a comma before the fraction; a cast wants a point, one offset, and no blank before it.
    upper = f"replace(replace(upper({apart}), ',', '.'), '\u2212', '-')"
    unnamed = f"regexp_replace({upper}, {literal(_ZONE_NAME + '$')}, '')"
    offset = rf"regexp_replace(regexp_replace({unnamed}, ' ?(UTC|GMT|Z)$', 'Z'), ' ?([+-][0-9:]+)Z$', '\1')"
    instant = rf"regexp_replace(regexp_replace({offset}, ' ([Z+-])', '\1'), '([+-]\d\d:\d\d):00$', '\1')"
    number = f"CAST({text} AS BIGINT)"
    epoch = (
        f"make_timestamp(CASE WHEN length({text}) <= 11 THEN {number} * 1000000 WHEN length({text}) <= 14 "
        f"THEN {number} * 1000 WHEN length({text}) <= 17 THEN {number} ELSE try_cast({text} AS BIGINT) // 1000 END)"
    )
    digits = f"try_strptime({text}, '%Y%m%d%H%M%S')"
    cases = (
        f"WHEN regexp_full_match({text}, {literal(_DIGITS)})"
        f" THEN {'CAST(NULL AS TIMESTAMP)' if zone is None else _local_sql(digits, zone)} "
        f"WHEN regexp_full_match({text}, '[0-9]{{9,19}}') THEN {epoch} "
        rf"WHEN regexp_full_match({text}, '[0-9]{{9,11}}\.[0-9]+') THEN {_epoch_sql(text, 's')} "
        rf"WHEN regexp_full_match({text}, '[0-9]{{12,14}}\.[0-9]+') THEN {_epoch_sql(text, 'ms')} "
        rf"WHEN regexp_full_match({text}, '[0-9]{{15,17}}\.[0-9]+') "
        f"THEN make_timestamp(CAST(split_part({text}, '.', 1) AS BIGINT)) "
        f"WHEN regexp_full_match({apart}, {literal('(?i)' + _ISO_LOCAL + _ISO_OFFSET)}) "
        f"THEN {_instant_sql(f'try_cast({instant} AS TIMESTAMPTZ)')}"
    )
    if zone is not None:
        local = _local_sql(f"try_cast(replace(upper({apart}), ',', '.') AS TIMESTAMP)", zone)
        cases += f" WHEN regexp_full_match({apart}, {literal(_ISO_LOCAL)}) THEN {local}"
    return f"CASE {cases} END"


def _local_sql(local: str, zone: str | None) -> str:
    """A local TIMESTAMP of a zone as UTC: ICU takes the offset before a gap, and the later of two equal times."""
    if zone is None or zone in ("UTC", "Etc/UTC"):
        return local
    return _instant_sql(f"timezone({literal(zone)}, {local})")


def _instant_sql(instant: str) -> str:
    """A TIMESTAMPTZ as a TIMESTAMP in UTC, whatever the time zone of the connection."""
    return f"make_timestamp(epoch_us({instant}))"


def _epoch_sql(text: str, unit: str) -> str:
    factor = _MICROSECONDS[unit]
    number = number_sql(text)
    micros = number if factor == "1e0" else f"({number}) * {factor}"
    rounded = f"CASE WHEN abs({micros}) < {_LAST_MICROSECOND} THEN make_timestamp(CAST(round({micros}) AS BIGINT)) END"
    if unit != "ns":
        return rounded
    # A DOUBLE does not hold nanoseconds of today.
    return (
        f"CASE WHEN regexp_full_match({text}, '[0-9]{{1,18}}|[1-8][0-9]{{18}}') "
        f"THEN make_timestamp(CAST({text} AS BIGINT) // 1000) ELSE {rounded} END"
    )
