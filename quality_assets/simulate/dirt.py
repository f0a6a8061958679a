"""What is wrong with telemetry in life: the kinds of dirt, each with what a validator should say of it.

A kind either replaces a clean row or inserts one after it. To add a kind, add one entry to `DIRT_KINDS`.
Where in a file dirt goes is decided here too; on which line it ends up is known only to `writer`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

import numpy as np

from quality_assets.domain.arrays import Ints
from quality_assets.simulate.plan import FileFormat
from quality_assets.simulate.render import Renderer, Row, csv_fields, csv_line, json_line
from quality_assets.simulate.world import DAY_MS, EventBatch

ACCEPTED = "accepted"
DIRT_COLUMNS = ("file", "line", "kind", "expected", "event_id")

_ALL: tuple[FileFormat, ...] = ("csv", "jsonl", "parquet")
_TEXT: tuple[FileFormat, ...] = ("csv", "jsonl")
_MS_2099 = 4_070_908_800_000
_LONG_VALUE_CHARACTERS = 4000
_LONGEST_LOOK_BACK_ROWS = 50

Operation = Literal["replace", "insert"]
Edit = Callable[[Row, int], Row]


@dataclass(frozen=True)
class DirtKind:
    """One way for a row to be wrong.

    expected: reasons a validator should give, joined by `;`, or `accepted`. weight: relative frequency.
    formats: files it can occur in (a typed Parquet column cannot hold text). edit: returns the changed row,
    given a number to choose variants by; None where the damage is to the line (`_damaged_line`) or the row is
    copied unchanged.
    """

    name: str
    expected: str
    weight: int = 1
    formats: tuple[FileFormat, ...] = _ALL
    edit: Edit | None = None
    operation: Operation = "replace"


@dataclass(frozen=True)
class DirtyRow:
    """A dirty row in its place: it replaces clean row `position` of the file, or follows it when inserted."""

    position: int
    kind: DirtKind
    row: Row
    line: bytes

    @property
    def event_id(self) -> str:
        """The id as written; empty where there is none."""
        return "" if self.kind.name == "repeated_header" else str(self.row["event_id"] or "")


def _put(column: str, *variants: str | int | float | None) -> Edit:
    return lambda row, salt: {**row, column: variants[salt % len(variants)]}


def _moment(row: Row) -> datetime:
    return datetime.fromtimestamp(int(row["event_time"] or 0) // 1000, UTC)


def _time_format(pattern: str) -> Edit:
    return lambda row, salt: {**row, "event_time": _moment(row).strftime(pattern)}


def _time_with_offset(row: Row, salt: int) -> Row:
    offset_min = (120, -300, 330, -210)[salt % 4]
    local = _moment(row).astimezone(timezone(timedelta(minutes=offset_min)))
    return {**row, "event_time": local.isoformat()}


def _time_as_epoch(units_per_second: int) -> Edit:
    return lambda row, salt: {
        **row,
        "event_time": str(int(row["event_time"] or 0) * units_per_second // 1000),
    }


def _time_in_1970(row: Row, salt: int) -> Row:
    return {**row, "event_time": salt % (30 * DAY_MS)}


def _time_in_2099(row: Row, salt: int) -> Row:
    return {**row, "event_time": _MS_2099 + salt % (300 * DAY_MS)}


def _negative_latency(row: Row, salt: int) -> Row:
    return {**row, "latency_ms": -(1.0 + salt % 5000 / 10)}


def _decimal_comma(row: Row, salt: int) -> Row:
    return {**row, "latency_ms": f"{100 + salt % 900},{salt % 9 + 1}"}


def _multiline_properties(row: Row, salt: int) -> Row:
    note = ('{\n  "note": "first, \\"second\\"",\n  "ok": true\n}', '{"list": ["a",\n"b, c"]}')[salt % 2]
    return {**row, "properties": note}


def _oversized_line(row: Row, salt: int) -> Row:
    return {
        **row,
        "properties": '{"stack":"' + "at frame; " * (_LONG_VALUE_CHARACTERS // 10 + salt % 100) + '"}',
    }


def _two_faults(row: Row, salt: int) -> Row:
    return {**_negative_latency(row, salt), "status": "unknown"}


DIRT_KINDS: tuple[DirtKind, ...] = (
    DirtKind("duplicate_in_file", "duplicate_event_id", 4, operation="insert"),
    DirtKind("duplicate_across_files", "duplicate_event_id", 3, operation="insert"),
    DirtKind("negative_latency", "negative_latency", 4, edit=_negative_latency),
    DirtKind("nan_latency", "non_finite_latency", 2, edit=_put("latency_ms", float("nan"))),
    DirtKind("infinite_latency", "non_finite_latency", 1, edit=_put("latency_ms", float("inf"))),
    DirtKind("decimal_comma", "invalid_latency", 3, _TEXT, _decimal_comma),
    DirtKind("text_latency", "invalid_latency", 1, _TEXT, _put("latency_ms", "fast", "12ms", "1.2.3")),
    DirtKind("unknown_status", "invalid_status", 4, edit=_put("status", "unknown", "degraded", "maybe")),
    DirtKind("missing_status", "missing_status", 2, edit=_put("status", None)),
    DirtKind("blank_feature", "missing_feature", 3, edit=_put("feature", None, "   ")),
    DirtKind("missing_event_id", ACCEPTED, 3, edit=_put("event_id", None)),
    DirtKind("missing_event_time", "missing_event_time", 3, edit=_put("event_time", None)),
    DirtKind(
        "unparseable_time",
        "invalid_event_time",
        2,
        _TEXT,
        _put("event_time", "not a time", "2026-02-30T12:00:00Z", "2026-13-01T00:00:00.000Z", "25:61"),
    ),
    DirtKind("time_in_1970", "event_time_too_early", 2, edit=_time_in_1970),
    DirtKind("time_in_2099", "event_time_in_future", 2, edit=_time_in_2099),
    DirtKind("time_without_zone", "invalid_event_time", 1, _TEXT, _time_format("%Y-%m-%d %H:%M:%S")),
    DirtKind("time_day_first", "invalid_event_time", 1, _TEXT, _time_format("%d/%m/%Y %H:%M:%S")),
    DirtKind("time_month_first", "invalid_event_time", 1, _TEXT, _time_format("%m/%d/%Y %I:%M:%S %p")),
    DirtKind("time_rfc_2822", "invalid_event_time", 1, _TEXT, _time_format("%a, %d %b %Y %H:%M:%S GMT")),
    DirtKind("time_month_name", "invalid_event_time", 1, _TEXT, _time_format("%d %B %Y %H:%M")),
    DirtKind("time_with_offset", ACCEPTED, 2, _TEXT, _time_with_offset),
    DirtKind("time_epoch_s", ACCEPTED, 1, _TEXT, _time_as_epoch(1)),
    DirtKind("time_epoch_ms", ACCEPTED, 1, _TEXT, _time_as_epoch(1000)),
    DirtKind("time_epoch_us", ACCEPTED, 1, _TEXT, _time_as_epoch(1_000_000)),
    DirtKind("feedback_out_of_range", "feedback_score_out_of_range", 3, edit=_put("feedback_score", 0, 6, -1, 11)),
    DirtKind("feedback_not_a_number", "invalid_feedback_score", 1, _TEXT, _put("feedback_score", "five", "good")),
    DirtKind(
        "invalid_properties",
        "invalid_properties",
        3,
        edit=_put("properties", '{"screen": ', "{'screen': 'home'}", "screen=home", '{"a":1,}'),
    ),
    DirtKind("multiline_properties", ACCEPTED, 2, ("csv", "parquet"), _multiline_properties),
    DirtKind("oversized_line", ACCEPTED, 1, edit=_oversized_line),
    DirtKind("nul_byte", "nul_byte", 1, edit=_put("device_type", "pho\0ne", "\0", "tablet\0")),
    DirtKind("two_faults", "invalid_status;negative_latency", 2, edit=_two_faults),
    DirtKind("too_few_columns", "malformed_row", 2, ("csv",)),
    DirtKind("too_many_columns", "malformed_row", 2, ("csv",)),
    DirtKind("truncated_json", "malformed_row", 2, ("jsonl",)),
    DirtKind("repeated_header", "repeated_header", 1, ("csv",), operation="insert"),
)


def kinds_in(file_format: FileFormat) -> tuple[DirtKind, ...]:
    """The kinds that can occur in a file format."""
    return tuple(kind for kind in DIRT_KINDS if file_format in kind.formats)


def soil(
    batch: EventBatch,
    renderer: Renderer,
    file_format: FileFormat,
    dirt_share: float,
    rng: np.random.Generator,
    yesterday: list[Row],
) -> list[DirtyRow]:
    """Choose which rows of a file are dirty and how; ordered by position, at most one per position.

    `yesterday` holds rows of the previous file that may be delivered again; each is used once at most, and an
    in-file duplicate takes their place when they run out.
    """
    count = round(len(batch) * dirt_share + rng.random() - 0.5)
    positions = np.sort(rng.choice(len(batch), max(0, min(count, len(batch))), replace=False))
    salts = rng.integers(1 << 62, size=(len(positions), 2)).tolist()
    kinds = _spread_kinds(kinds_in(file_format), len(positions), rng)
    replaced = {int(p) for p, kind in zip(positions, kinds, strict=True) if kind.operation == "replace"}
    origins = np.array(
        [
            _origin(int(position), kind, salt, replaced)
            for position, kind, (_, salt) in zip(positions, kinds, salts, strict=True)
        ],
        dtype=np.int64,
    )
    rows = renderer.rows(batch.take(origins))
    again = iter(yesterday)
    return [
        _dirty_row(int(position), kind, row, salt, file_format, again)
        for position, kind, row, (salt, _) in zip(positions, kinds, rows, salts, strict=True)
    ]


def rows_to_repeat(batch: EventBatch, renderer: Renderer, dirty: list[DirtyRow], rng: np.random.Generator) -> list[Row]:
    """Choose clean rows of a file that tomorrow's file may deliver once more."""
    wanted = min(len(batch), len(dirty) // 6 + 1) if dirty else 0
    replaced = np.array([d.position for d in dirty if d.kind.operation == "replace"], dtype=np.int64)
    positions = np.setdiff1d(rng.choice(len(batch), wanted, replace=False), replaced)
    return renderer.rows(batch.take(rng.permutation(positions)))


def _spread_kinds(kinds: tuple[DirtKind, ...], count: int, rng: np.random.Generator) -> list[DirtKind]:
    """Deal kinds like shuffled cards, by weight: every kind turns up even where there is little dirt."""
    deck = [kind for kind in kinds for _ in range(kind.weight)]
    decks = -(-count // len(deck)) if count else 0
    order: Ints = np.concatenate([rng.permutation(len(deck)) for _ in range(decks)] or [np.empty(0, np.int64)])
    return [deck[index] for index in order[:count]]


def _origin(position: int, kind: DirtKind, salt: int, replaced: set[int]) -> int:
    """The clean row a dirty row is made from: itself, or an earlier clean one for a copy."""
    if kind.operation == "replace":
        return position
    earlier = position - salt % _LONGEST_LOOK_BACK_ROWS
    return earlier if earlier >= 0 and earlier not in replaced else position


def _dirty_row(
    position: int, kind: DirtKind, row: Row, salt: int, file_format: FileFormat, again: Iterator[Row]
) -> DirtyRow:
    if kind.name == "duplicate_across_files":
        earlier = next(again, None)
        kind, row = (_IN_FILE, row) if earlier is None else (kind, earlier)
    row = kind.edit(row, salt) if kind.edit else row
    line = "" if file_format == "parquet" else _damaged_line(kind, row, salt, file_format)
    return DirtyRow(position, kind, row, line.encode())


_IN_FILE = next(kind for kind in DIRT_KINDS if kind.name == "duplicate_in_file")


def _damaged_line(kind: DirtKind, row: Row, salt: int, file_format: FileFormat) -> str:
    if kind.name == "repeated_header":
        return ",".join(row) + "\n"
    if kind.name == "too_few_columns":
        return ",".join(csv_fields(row)[: 2 + salt % 11]) + "\n"
    if kind.name == "too_many_columns":
        return ",".join([*csv_fields(row), *["extra"] * (1 + salt % 3)]) + "\n"
    if kind.name == "truncated_json":
        text = json_line(row)
        return text[: len(text) // 4 + salt % (len(text) // 2)] + "\n"
    return csv_line(row) if file_format == "csv" else json_line(row)
