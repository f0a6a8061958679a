"""Typing and judging raw rows: a `Source` and the columns of a file become SQL expressions.

Pure text in, pure text out: no connection is opened and no file is read here (that is
`quality_assets.stores.readers`). The input is a relation whose columns are all text, as they arrived, and
`line_number`. Nearly all rows are plain and get by with a few cheap tests (`plain_select`); those that are not are
judged by every rule (`judged_select`).

Rules that hold for every source: text loses its outer whitespace, and an empty text is an absent one. A row carries
all reasons that hold, in the order of `Reason`; only a repeated header, which is no event at all, carries no reason
but its own (and a NUL byte). A value that cannot be read is null beside its reason; one that can be read but breaks a
rule (negative, out of range, in the future) is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from quality_assets.contracts.events import DEFAULT_EVENT_NAME, EVENT_COLUMN_NAMES, STATUSES, Reason
from quality_assets.contracts.sources.columns import (
    ID_COLUMNS,
    MAX_LATENCY_MS,
    NUMBER_COLUMNS,
    TIME_COLUMNS,
    ColumnMapping,
)
from quality_assets.contracts.sources.events import Source
from quality_assets.contracts.sources.model import find_columns
from quality_assets.domain.events.json_texts import (
    json_object_sql,
    json_object_valid_sql,
    may_be_nested_sql,
    nested_sql,
    unless_empty_sql,
)
from quality_assets.domain.events.layers import Layers
from quality_assets.domain.events.mapped_texts import NOTHING, mapped_sql
from quality_assets.domain.events.texts import (
    Blanks,
    blankless_sql,
    grouped_number_sql,
    id_sql,
    needs_trim_sql,
    number_sql,
    trimmed_sql,
    unless_in_sql,
)
from quality_assets.domain.events.times import time_sql, zulu_cases
from quality_assets.domain.sql_text import enum_sql, identifier, literal

JUDGED_COLUMNS = ("event_date", "file_id", "line_number", *EVENT_COLUMN_NAMES, "reasons", "raw_row")

# Reasons that concern the line; beside the first two, nothing can be said of an event.
NOT_AN_EVENT = (Reason.MALFORMED_ROW, Reason.REPEATED_HEADER, Reason.NUL_BYTE)

MILLISECONDS = {"ns": "1e-6", "us": "1e-3", "ms": "1e0", "s": "1e3", "min": "6e4", "duration": "1e0"}
# What programs that have no measurement write for one: the largest integers of their types, and a row of nines.
LARGEST_INTEGERS = (2147483647.0, 4294967295.0, 9223372036854775807.0, 18446744073709551615.0)
NINES = (999999.0, 9999999.0, 99999999.0)
_TYPED = (*TIME_COLUMNS, *NUMBER_COLUMNS, "status", "properties")
# What is told as invalid where it cannot be read is so where it is a list or an object.
_TEXTS = tuple(name for name in EVENT_COLUMN_NAMES if name not in _TYPED)
_ABSENT = ColumnMapping.model_construct()


@dataclass(frozen=True)
class RawColumns:
    """The columns of a raw relation.

    `header` has the file's column names, and `identifiers` the SQL columns of the relation that hold them, as text.
    `raw_row` is the SQL of the row as it arrived, as JSON; None makes an object of all columns.
    `malformed` is an SQL condition, never null, for records that could not be split into columns; theirs are null.
    `may_hold_nul` is false only where it is known that no value can hold a NUL character, and `blanks` says what is
    known of those around values: both save work. `may_nest` is whether a value may be a JSON list or object instead of
    a text, which is no id and no name.
    `repeats_header` says whether the header is a line of the file, which may come again among the rows. The last
    columns may be of the file's path instead of its rows: `from_path` has their values. Before them may come `within`
    columns whose values stand in the JSON of others.
    """

    header: tuple[str, ...]
    identifiers: tuple[str, ...]
    raw_row: str | None = None
    malformed: str | None = None
    may_hold_nul: bool = True
    blanks: Blanks = "any"
    may_nest: bool = False
    repeats_header: bool = False
    from_path: tuple[str | None, ...] = ()
    within: int = 0

    @property
    def own(self) -> int:
        """How many of the columns are the file's own."""
        return len(self.header) - len(self.from_path) - self.within

    @property
    def nests(self) -> bool:
        """Whether a value may be a JSON list or object."""
        return self.may_nest or self.within > 0


@dataclass(frozen=True)
class PlainForm:
    """What plain rows have in common beyond the contract; others are looked at closely, which must be few.

    `encoded` gives the ENUM types of contract columns that are text of a few values, always that of the status.
    `has_zulu_times` says that times are ISO 8601 with seconds and Z.
    """

    encoded: Mapping[str, str]
    has_zulu_times: bool = False


ANY_FORM = PlainForm({"status": enum_sql(STATUSES)})
"""What holds for any log."""


def plain_select(source: Source, columns: RawColumns, relation: str, form: PlainForm = ANY_FORM) -> str:
    """The SELECT that types the plain rows of `relation` (an SQL FROM item with line_number), and keeps the others.

    A row is plain when a few cheap tests show that no reason holds and that no text needs a trim, as they do for nearly
    all rows. Plain rows have an event_date and their typed columns (event_id null where the row states none). Of the
    others event_date is null, and `fields` has their columns as they arrived (null where they could not be split) and
    `raw_row` what `columns.raw_row` says, for `judged_select` to look at closely.
    Named parameter: $latest_event_time (timestamp UTC: arrival and the allowed skew).
    """
    layers = Layers()
    verbatim = _verbatim_columns(source, columns)
    text = text_expressions(source, columns, layers, but=verbatim)
    for name, column in verbatim.items():
        text[name] = unless_in_sql(column, source.null_values)
        if name in ID_COLUMNS:
            text[name] = id_sql(text[name])
    typed = {name: f"x_{name}" for name in EVENT_COLUMN_NAMES}
    typed["event_name"] = f"coalesce(x_event_name, {literal(DEFAULT_EVENT_NAME)})"
    for name in TIME_COLUMNS:
        text_of = f"x_{name}"
        mapping = source.columns.get(name, _ABSENT)
        typed[name] = (
            f"CASE {zulu_cases(text_of)} END" if form.has_zulu_times else time_sql(text_of, mapping, usual_only=True)
        )
    for name in NUMBER_COLUMNS:
        mapping = source.columns.get(name, _ABSENT)
        cast = f"try_cast(x_{name} AS DOUBLE)"
        if mapping.decimal is not None:
            cast = grouped_number_sql(f"x_{name}", mapping.decimal)
        number = _in_milliseconds(cast, mapping)
        typed[name] = number if mapping.clip_minimum is None else _finite(number, mapping)
    nothing = _typed_nothing(text)
    typed |= nothing
    typed |= {name: f"try_cast({typed[name]} AS {type_})" for name, type_ in form.encoded.items()}
    select_text = ", ".join(f"{sql} AS x_{name}" for name, sql in text.items())
    select_typed = ", ".join(f"{sql} AS v_{name}" for name, sql in typed.items())
    select_events = ", ".join(f"v_{name} AS {identifier(name)}" for name in EVENT_COLUMN_NAMES)
    split = f"NOT is_plain AND NOT {columns.malformed}" if columns.malformed else "NOT is_plain"
    raw_row = f"CASE WHEN NOT is_plain THEN {columns.raw_row} END" if columns.raw_row else NOTHING
    return (
        f"SELECT CASE WHEN is_plain THEN CAST(v_event_time AS DATE) END AS event_date, line_number, {select_events}, "
        f"CASE WHEN {split} THEN [{', '.join(columns.identifiers)}] END AS fields, {raw_row} AS raw_row "
        f"FROM (SELECT *, {_plain_sql(source, columns, verbatim, form.encoded, nothing)} AS is_plain "
        f"FROM (SELECT *, {select_typed} FROM (SELECT *, {select_text} FROM {layers.over(relation)})))"
    )


def _typed_nothing(text: Mapping[str, str]) -> dict[str, str]:
    """Typed nulls for the times and numbers that there are none of: to read them makes a statement dear to plan."""
    types = dict.fromkeys(TIME_COLUMNS, "TIMESTAMP") | dict.fromkeys(NUMBER_COLUMNS, "DOUBLE")
    return {name: f"CAST(NULL AS {type_})" for name, type_ in types.items() if text[name] == NOTHING}


def _verbatim_columns(source: Source, columns: RawColumns) -> dict[str, str]:
    """The SQL columns of those contract columns that are one column of the file, as it stands."""
    found = find_columns(source.source_columns, columns.header)
    return {
        name: columns.identifiers[found[mapping.from_columns[0]]]
        for name, mapping in source.columns.items()
        if _is_plain(mapping) and mapping.from_columns[0] in found
    }


def _plain_sql(
    source: Source,
    columns: RawColumns,
    verbatim: Mapping[str, str],
    encoded: Collection[str],
    absent: Collection[str],
) -> str:
    """Whether a row is plain, never null: false for any row that is not good, and for some that are."""
    # By column, what is wrong with a text that is there. DuckDB reads 1_000 as a number.
    faults = {
        "latency_ms": f"v_latency_ms IS NULL OR v_latency_ms < 0 OR {_implausible_sql(source)}"
        " OR contains(x_latency_ms, '_')",
        "feedback_score": "v_feedback_score IS NULL OR v_feedback_score < 1 OR v_feedback_score > 5"
        " OR contains(x_feedback_score, '_')",
        "received_at": "v_received_at IS NULL",
        "properties": f"NOT {json_object_valid_sql('x_properties')}",
        # No value of an ENUM is empty or has blanks around it.
        **{name: f"v_{name} IS NULL" for name in encoded if name not in ("feature", "status")},
    }
    doubts = [f"(x_{name} IS NOT NULL AND ({fault}))" for name, fault in faults.items() if name not in absent]
    doubts += [
        needs_trim_sql(column, columns.blanks)
        for name, column in verbatim.items()
        if name not in _TYPED and name not in encoded
    ]
    if columns.may_hold_nul:
        doubts.append(nul_sql(columns))
    if columns.nests:
        doubts += [f"coalesce({may_be_nested_sql(f'x_{name}')}, false)" for name in _TEXTS if name in source.columns]
    if columns.malformed is not None:
        doubts.append(columns.malformed)
    # A header line has no time, unless every row has the same.
    if columns.repeats_header and source.columns["event_time"].constant is not None:
        doubts.append(repeated_header_sql(columns))
    # Of a CASE DuckDB chooses rows by one test after the other, where for a value it would work out all of them.
    good = f"{datable_sql(source)} AND v_feature IS NOT NULL AND v_status IS NOT NULL"
    return f"CASE WHEN {' OR '.join(doubts) or 'false'} THEN false WHEN {good} THEN true ELSE false END"


def judged_select(source: Source, columns: RawColumns, relation: str, also: Sequence[str] = ()) -> str:
    """The SELECT that turns `relation` (an SQL FROM item) into rows with JUDGED_COLUMNS, and the columns in `also`.

    The relation has, beside the raw columns, line_number, file_id (text) and latest_event_time (timestamp UTC:
    arrival and the allowed skew). event_date is null where the row has no usable time, reasons and raw_row where the
    row is good. event_id is made of file and line where the row states none.
    """
    layers = Layers()
    text = text_expressions(source, replace(columns, blanks="any"), layers)
    conditions = reason_conditions(source, columns)
    select_text = ", ".join(f"{sql} AS x_{name}" for name, sql in text.items())
    typed = typed_expressions(source) | _typed_nothing(text)
    select_typed = ", ".join(f"{sql} AS v_{name}" for name, sql in typed.items())
    values = {name: f"v_{name}" for name in EVENT_COLUMN_NAMES}
    if columns.malformed is not None:
        # The columns of a malformed record are null; only what does not come from a column has to be taken away.
        values |= {
            name: f"CASE WHEN NOT is_malformed THEN v_{name} END"
            for name in ("event_name", *source.columns)
            if name == "event_name" or not _is_plain(source.columns[name])
        }
    values["event_id"] = f"coalesce({values['event_id']}, {derived_event_id('file_id')})"
    select_events = ", ".join(f"{value} AS {identifier(name)}" for name, value in values.items())
    raw_row = columns.raw_row or json_object_sql(columns.header, columns.identifiers)
    return (
        f"SELECT CASE WHEN {datable_sql(source, 'latest_event_time')} THEN CAST(v_event_time AS DATE) END"
        f" AS event_date, file_id, line_number, {select_events}, "
        f"reasons, CASE WHEN reasons IS NOT NULL THEN CAST({raw_row} AS VARCHAR) END AS raw_row"
        f"{''.join(f', {name}' for name in also)} "
        f"FROM (SELECT *, {columns.malformed or 'false'} AS is_malformed, {reasons_sql(conditions)} AS reasons "
        f"FROM (SELECT *, {select_typed} FROM (SELECT *, {select_text} FROM {layers.over(relation)})))"
    )


def derived_event_id(file_id: str) -> str:
    """The id of an event whose source has none, from the SQL of its file's id."""
    return f"{file_id} || '-' || line_number"


def text_expressions(
    source: Source, columns: RawColumns, layers: Layers, *, but: Collection[str] = ()
) -> dict[str, str]:
    """Per contract column, the SQL of its mapped text over the raw relation and its layers; null where it is absent.

    The text is trimmed, but for columns that are not plain text: those are tried as they are and trimmed where that
    fails, which spares the trim for nearly all rows. Columns in `but` are made elsewhere.
    """
    found = find_columns(source.source_columns, columns.header)
    raw = {name: columns.identifiers[index] for name, index in found.items()}
    trimmed = {name: trimmed_sql(sql, source.null_values, columns.blanks) for name, sql in raw.items()}
    text = {}
    for name in (name for name in EVENT_COLUMN_NAMES if name not in but):
        mapping = source.columns.get(name, _ABSENT)
        untouched = name in _TYPED and _is_plain(mapping) and not source.null_values
        names = [column for column in mapping.source_columns if column in raw]
        given = {column: raw[column] if untouched else layers.named(trimmed[column]) for column in names}
        if name in ID_COLUMNS and mapping.or_from:
            # Another column has the word where the first says that there is no id.
            given = {column: layers.named(id_sql(sql)) for column, sql in given.items()}
        text[name] = mapped_sql(mapping, given, layers)
        if columns.nests and name in _TEXTS and mapping is not _ABSENT:
            text[name] = unless_empty_sql(layers.named(text[name]))
        if name in ID_COLUMNS and mapping is not _ABSENT:
            text[name] = id_sql(layers.named(text[name]))
    folded = {name: layers.named(trimmed[name]) for name in source.properties_from if name in trimmed}
    if folded:
        any_value = " OR ".join(f"{sql} IS NOT NULL" for sql in folded.values())
        object_sql = json_object_sql(tuple(folded), tuple(folded.values()))
        text["properties"] = f"CASE WHEN {any_value} THEN CAST({object_sql} AS VARCHAR) END"
    if "event_name" in text:
        text["event_name"] = f"coalesce({text['event_name']}, {literal(DEFAULT_EVENT_NAME)})"
    return text


def _is_plain(mapping: ColumnMapping) -> bool:
    """Whether the value is that of one column and nothing else."""
    is_made = mapping.fold or not mapping.default is mapping.pad is mapping.map is mapping.if_missing is None
    is_made = is_made or bool(mapping.or_from or mapping.null_values or mapping.since or mapping.unit == "duration")
    return not is_made and mapping.extract is None and len(mapping.from_columns) == 1


def typed_expressions(source: Source) -> dict[str, str]:
    """Per contract column, the SQL of its typed value over the text columns `x_<name>`."""
    typed = {name: f"x_{name}" for name in EVENT_COLUMN_NAMES}
    statuses = ", ".join(map(literal, STATUSES))
    trimmed = blankless_sql("x_status")
    typed["status"] = (
        f"CASE WHEN x_status IN ({statuses}) THEN x_status WHEN {trimmed} IN ({statuses}) THEN {trimmed} END"
    )
    for name in TIME_COLUMNS:
        typed[name] = time_sql(f"x_{name}", source.columns.get(name, _ABSENT))
    for name in NUMBER_COLUMNS:
        typed[name] = _measure_sql(f"x_{name}", source.columns.get(name, _ABSENT))
    if "properties" in source.columns:
        trimmed = blankless_sql("x_properties")
        typed["properties"] = (
            f"CASE WHEN x_properties IS NULL THEN NULL WHEN {json_object_valid_sql('x_properties')} THEN x_properties "
            f"WHEN {json_object_valid_sql(trimmed)} THEN {trimmed} END"
        )
    return typed


def reason_conditions(source: Source, columns: RawColumns) -> dict[Reason, str]:
    """Per reason that a row can have by itself, the SQL of its condition (never null) over `x_` and `v_` columns."""
    time = "v_event_time"
    latency = _number_sql("x_latency_ms", source.columns.get("latency_ms", _ABSENT))
    unread = {name: f"({blankless_sql(f'x_{name}')} IS NOT NULL AND v_{name} IS NULL)" for name in _TYPED}
    conditions = {
        Reason.MALFORMED_ROW: columns.malformed or "",
        Reason.REPEATED_HEADER: repeated_header_sql(columns) if columns.repeats_header else "",
        Reason.NUL_BYTE: nul_sql(columns) if columns.may_hold_nul else "",
        Reason.MISSING_EVENT_TIME: f"{blankless_sql('x_event_time')} IS NULL",
        Reason.INVALID_EVENT_TIME: unread["event_time"],
        Reason.EVENT_TIME_TOO_EARLY: f"coalesce({time} < {_midnight(source.starts_on)}, false)",
        Reason.EVENT_TIME_IN_FUTURE: f"coalesce({time} > latest_event_time, false)",
        Reason.MISSING_FEATURE: "x_feature IS NULL",
        Reason.MISSING_STATUS: f"{blankless_sql('x_status')} IS NULL",
        Reason.INVALID_STATUS: unread["status"],
        Reason.INVALID_LATENCY: f"({unread['latency_ms']} AND {latency} IS NULL)",
        Reason.NON_FINITE_LATENCY: f"({unread['latency_ms']} AND {latency} IS NOT NULL)",
        Reason.NEGATIVE_LATENCY: "coalesce(v_latency_ms < 0, false)",
        Reason.IMPLAUSIBLE_LATENCY: f"coalesce({_implausible_sql(source)}, false)",
        Reason.INVALID_FEEDBACK_SCORE: unread["feedback_score"],
        Reason.FEEDBACK_SCORE_OUT_OF_RANGE: "coalesce(v_feedback_score < 1 OR v_feedback_score > 5, false)",
        Reason.INVALID_PROPERTIES: unread["properties"],
        Reason.INVALID_RECEIVED_AT: unread["received_at"],
        Reason.NESTED_VALUE: _any_nested_sql(source) if columns.nests else "",
    }
    return {reason: sql for reason, sql in conditions.items() if sql}


def _any_nested_sql(source: Source) -> str:
    return " OR ".join(nested_sql(f"x_{name}") for name in _TEXTS if name in source.columns)


def reasons_sql(conditions: Mapping[Reason, str]) -> str:
    """The list of all reasons that hold, in the order of `conditions`; null when there is none.

    What is no event has no reasons of an event.
    """
    of_the_line: dict[Reason, str] = {reason: sql for reason, sql in conditions.items() if reason in NOT_AN_EVENT}
    cases = "".join(
        f"WHEN {sql} THEN {_held(of_the_line)} " for reason, sql in of_the_line.items() if reason is not Reason.NUL_BYTE
    )
    return f"CASE {cases}ELSE {_held(conditions)} END" if cases else _held(conditions)


def _held(conditions: Mapping[Reason, str]) -> str:
    # Joining the words, which leaves nulls out, and splitting them costs less than filtering a list.
    cases = ", ".join(f"CASE WHEN {sql} THEN {literal(reason)} END" for reason, sql in conditions.items())
    return f"string_split(nullif(concat_ws(' ', {cases}), ''), ' ')"


def datable_sql(source: Source, latest: str = "$latest_event_time") -> str:
    """Whether the row's time can be trusted with a date; never null."""
    return f"coalesce(v_event_time >= {_midnight(source.starts_on)} AND v_event_time <= {latest}, false)"


def repeated_header_sql(columns: RawColumns) -> str:
    """Whether the row is the header line again; never null."""
    own = columns.own
    same = [
        f"coalesce({column} = {literal(name)}, false)" if name else f"coalesce({column} = '', true)"
        for name, column in zip(columns.header[:own], columns.identifiers[:own], strict=True)
    ]
    if same and columns.header[0]:
        # Of files that were put together each brings its mark of UTF-8 along.
        same[0] = f"coalesce(ltrim({columns.identifiers[0]}, '\ufeff') = {literal(columns.header[0])}, false)"
    return f"({' AND '.join(same)})"


def nul_sql(columns: RawColumns) -> str:
    """Whether any column holds a NUL character; never null."""
    return f"coalesce({' OR '.join(f'contains({column}, chr(0))' for column in columns.identifiers)}, false)"


def _measure_sql(text: str, mapping: ColumnMapping) -> str:
    """A finite number in the contract's unit; null where it is none."""
    return _finite(_in_milliseconds(_number_sql(text, mapping), mapping), mapping)


def _number_sql(text: str, mapping: ColumnMapping) -> str:
    return number_sql(text) if mapping.decimal is None else grouped_number_sql(text, mapping.decimal)


def _in_milliseconds(number: str, mapping: ColumnMapping) -> str:
    factor = _factor(mapping)
    return number if factor == "1e0" else f"({number}) * {factor}"


def _factor(mapping: ColumnMapping) -> str:
    """By what the number that a text is has to be multiplied; what is between two times is in milliseconds already."""
    return MILLISECONDS[(mapping.unit if mapping.since is None else None) or "ms"]


def _finite(number: str, mapping: ColumnMapping) -> str:
    """A number that is not below what the source lets it fall to; null where it is not finite."""
    kept = number if mapping.clip_minimum is None else f"greatest({number}, {float(mapping.clip_minimum)!r}::DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {kept} END"


def _implausible_sql(source: Source) -> str:
    """Whether a latency is no measurement: longer than anybody waits, or a number that stands for none."""
    mapping = source.columns.get("latency_ms", _ABSENT)
    factor = float(_factor(mapping))
    sentinels = mapping.sentinels
    if sentinels is None:
        sentinels = (*LARGEST_INTEGERS, *(NINES if factor == 1 else ()))
    most = MAX_LATENCY_MS if mapping.maximum is None else mapping.maximum
    listed = [value * factor for value in sentinels if 0 <= value * factor <= most]
    among = f" OR v_latency_ms IN ({', '.join(f'{value!r}::DOUBLE' for value in listed)})" if listed else ""
    return f"v_latency_ms > {float(most)!r}::DOUBLE{among}"


def _midnight(day: date) -> str:
    return f"TIMESTAMP {literal(f'{day.isoformat()} 00:00:00')}"
