"""How an event looks in a file: CSV lines, JSON lines, Parquet columns; many at once, or one changed by dirt.

The two ways agree to the byte: `csv_line` of a clean row equals what `csv_lines` makes of its event.
Nothing here opens a file (`writer` does) or decides what is dirty (`dirt` does).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import isfinite, isinf
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from quality_assets.domain.arrays import Ints
from quality_assets.simulate import catalogue
from quality_assets.simulate.changes import new_names
from quality_assets.simulate.streams import Ids
from quality_assets.simulate.world import DAY_MS, NO_USER, STATUSES, EventBatch, World

EVENT_COLUMNS = (
    "event_id",
    "event_time",
    "user_id",
    "session_id",
    "feature",
    "event_name",
    "latency_ms",
    "status",
    "feedback_score",
    "device_type",
    "platform",
    "app_version",
    "country",
    "properties",
)
BROKEN_STATUS = "undefined"
"""What rows that an arm loses say of how they ended; no validator knows it."""
VARIANT_COLUMNS = (*EVENT_COLUMNS[:-1], "variant", EVENT_COLUMNS[-1])
"""The columns of a world in which people take part in experiments."""

Value = str | int | float | None
Row = dict[str, Value]
"""One event by column: event_time is epoch ms as an integer, or any text; the others text or numbers."""

_PARQUET_TYPES = {
    "event_time": pa.timestamp("ms", tz="UTC"),
    "latency_ms": pa.float64(),
    "feedback_score": pa.int32(),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Bytes = npt.NDArray[np.uint8]


def _byte_table(texts: Sequence[str]) -> _Bytes:
    return np.frombuffer("".join(texts).encode("ascii"), np.uint8).reshape(len(texts), -1)


_HEX_4 = _byte_table([f"{number:04x}" for number in range(1 << 16)])
_DECIMAL_4 = _byte_table([f"{number:04d}" for number in range(10_000)])
_CLOCK = _byte_table([f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}." for s in range(86_400)])
_MILLIS = _byte_table([f"{ms:03d}Z" for ms in range(1000)])


def _fixed_width(parts: Sequence[_Bytes]) -> pa.Array:
    """Glue byte matrices side by side into one text per row, without a Python object per row."""
    matrix = np.ascontiguousarray(np.concatenate(parts, axis=1))
    count, width = matrix.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(matrix))


def _constant(text: str, count: int) -> _Bytes:
    return np.broadcast_to(np.frombuffer(text.encode("ascii"), np.uint8), (count, len(text)))


def hex_texts(ids: Ids, prefix: str = "", suffix: str = "") -> pa.Array:
    """16 hexadecimal digits per id, between a prefix and a suffix."""
    quarters = ids.astype(">u8").view(np.uint8).view(">u2").reshape(-1, 4)
    digits = _HEX_4[quarters].reshape(-1, 16)
    return _fixed_width([_constant(prefix, len(ids)), digits, _constant(suffix, len(ids))])


def user_texts(users: Ints, prefix: str = "", suffix: str = "") -> pa.Array:
    """`u` and 8 digits per user number, between a prefix and a suffix."""
    count, safe = len(users), np.maximum(users, 0)
    parts = [_constant(prefix + "u", count), _DECIMAL_4[safe // 10_000], _DECIMAL_4[safe % 10_000]]
    return _fixed_width([*parts, _constant(suffix, count)])


def time_texts(event_ms: Ints, prefix: str = "", suffix: str = "") -> pa.Array:
    """`2026-01-31T23:59:59.999Z` per epoch millisecond (UTC), between a prefix and a suffix."""
    day, ms_of_day = np.divmod(event_ms, DAY_MS)
    days, position = np.unique(day, return_inverse=True)
    dates = [(_EPOCH + timedelta(days=int(d))).strftime("%Y-%m-%d") for d in days]
    date_bytes = _byte_table(dates)[position] if dates else np.empty((0, 10), np.uint8)
    count = len(event_ms)
    parts = [date_bytes, _CLOCK[ms_of_day // 1000], _MILLIS[ms_of_day % 1000]]
    return _fixed_width([_constant(prefix, count), *parts, _constant(suffix, count)])


def time_text(event_ms: int) -> str:
    """The same for one instant."""
    return (_EPOCH + timedelta(milliseconds=event_ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{event_ms % 1000:03d}Z"


def csv_field(value: Value) -> str:
    """One CSV field, quoted only where RFC 4180 asks for it; None is empty."""
    text = _plain_text(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text


def csv_fields(row: Row) -> list[str]:
    """The fields of a row, escaped, in column order."""
    return [csv_field(_time_as_text(column, value)) for column, value in row.items()]


def csv_line(row: Row) -> str:
    """A row as a CSV line with its newline."""
    return ",".join(csv_fields(row)) + "\n"


def json_line(row: Row) -> str:
    """A row as a JSON line; non-finite numbers are texts, valid properties an object, invalid ones a text."""
    fields = (f'"{column}":{_json_value(column, value)}' for column, value in row.items())
    return "{" + ",".join(fields) + "}\n"


def _time_as_text(column: str, value: Value) -> Value:
    return time_text(value) if column == "event_time" and isinstance(value, int) else value


def _plain_text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if not isfinite(value):
            return "NaN" if not isinf(value) else "Infinity" if value > 0 else "-Infinity"
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _json_value(column: str, value: Value) -> str:
    value = _time_as_text(column, value)
    if column == "properties" and isinstance(value, str):
        return value if _is_json_object(value) else _json_text(value)
    if value is None:
        return "null"
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return _plain_text(value)
    return _json_text(_plain_text(value))


def _json_text(text: str | None) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class Renderer:
    """Renders the events of one world; keeps the look-up tables of its names in each notation."""

    def __init__(self, world: World) -> None:
        extras = world.extras
        self.columns = EVENT_COLUMNS if extras is None else VARIANT_COLUMNS
        self.header_line = ",".join(self.columns) + "\n"
        self._schema = pa.schema([(column, _PARQUET_TYPES.get(column, pa.string())) for column in self.columns])
        families = tuple(name for family in catalogue.EVENT_NAME_FAMILIES for name in family)
        self._names: dict[str, Sequence[str | None]] = {
            "feature": [*(feature.name for feature in world.features), *new_names(world.changes)],
            "event_name": families if extras is None else extras.event_names,
            "status": (*STATUSES, BROKEN_STATUS),
            "feedback_score": [None, "1", "2", "3", "4", "5"],
            "device_type": catalogue.DEVICE_TYPES,
            "platform": catalogue.PLATFORMS,
            "app_version": [release.app_version for release in world.calendar.releases],
            "country": catalogue.COUNTRY_CODES,
            "properties": (*catalogue.PROPERTIES, *(extras.properties if extras else ())),
            "variant": extras.variants if extras else (None,),
        }
        of_family = len(catalogue.EVENT_NAME_SHARES)
        names_before = [catalogue.event_name_family(index) * of_family for index in range(world.plan.features)]
        first = [*names_before, *(extras.first_event_name if extras else ())]
        # A feature that is renamed keeps its events.
        first += [first[world.feature_index[change.feature]] for change in world.changes for _ in change.new_names]
        self._first_event_name = np.array(first)

    def csv_lines(self, batch: EventBatch) -> pa.Array:
        """One CSV line per event, newline included."""
        names = self._csv_names
        columns = [
            hex_texts(batch.event_id),
            time_texts(batch.event_ms),
            pc.if_else(pa.array(batch.user == NO_USER), "", user_texts(batch.user)),
            hex_texts(batch.session_id),
            *self._named(batch, names, ("feature", "event_name")),
            pc.fill_null(_latency_texts(batch), ""),
            *self._named(batch, names, self.columns[7:]),
        ]
        return pc.binary_join_element_wise(*columns, ",")

    def json_lines(self, batch: EventBatch) -> pa.Array:
        """One JSON line per event, newline included; the same keys in every line."""
        names = self._json_names
        columns = [
            hex_texts(batch.event_id, '{"event_id":"', '"'),
            time_texts(batch.event_ms, '"event_time":"', '"'),
            pc.if_else(pa.array(batch.user == NO_USER), '"user_id":null', user_texts(batch.user, '"user_id":"', '"')),
            hex_texts(batch.session_id, '"session_id":"', '"'),
            *self._named(batch, names, ("feature", "event_name")),
            pc.binary_join_element_wise('"latency_ms"', pc.fill_null(_latency_texts(batch), "null"), ":"),
            *self._named(batch, names, self.columns[7:]),
        ]
        return pc.binary_join_element_wise(*columns, ",")

    def table(self, batch: EventBatch) -> pa.Table:
        """The events as a table: times and numbers typed, all else text."""
        feedback = pa.array(batch.feedback.astype(np.int32), mask=batch.feedback == 0)
        columns: dict[str, Any] = {
            "event_id": hex_texts(batch.event_id),
            "event_time": pa.array(batch.event_ms).cast(_PARQUET_TYPES["event_time"]),
            "user_id": pc.if_else(
                pa.array(batch.user == NO_USER), pa.scalar(None, pa.string()), user_texts(batch.user)
            ),
            "session_id": hex_texts(batch.session_id),
            "latency_ms": pa.array(batch.latency_ms, mask=np.isnan(batch.latency_ms)),
            "feedback_score": feedback,
        }
        for column in self.columns:
            if column not in columns:
                columns[column] = pa.array(self._names[column], pa.string()).take(self._codes(batch, column))
        return pa.table([columns[column] for column in self.columns], schema=self._schema)

    def table_of(self, rows: Sequence[Row]) -> pa.Table:
        """Rows as such a table; they must fit its types."""
        return pa.Table.from_pylist(list(rows), schema=self._schema)

    def rows(self, batch: EventBatch) -> list[Row]:
        """The events as rows, for a FEW events: it costs microseconds each."""
        columns: dict[str, list[Value]] = {
            "event_id": [f"{value:016x}" for value in batch.event_id.tolist()],
            "event_time": batch.event_ms.tolist(),
            "user_id": [None if user == NO_USER else f"u{user:08d}" for user in batch.user.tolist()],
            "session_id": [f"{value:016x}" for value in batch.session_id.tolist()],
            "latency_ms": [None if value != value else value for value in batch.latency_ms.tolist()],
            "feedback_score": [score or None for score in batch.feedback.tolist()],
        }
        for column in self.columns:
            if column not in columns:
                names = self._names[column]
                columns[column] = [names[code] for code in self._codes(batch, column).tolist()]
        ordered = [columns[column] for column in self.columns]
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*ordered, strict=True)]

    def _codes(self, batch: EventBatch, column: str) -> Ints:
        if column == "event_name":
            return self._first_event_name[batch.feature] + batch.event
        by_column = {
            "feature": batch.feature,
            "status": np.where(batch.is_broken, len(STATUSES), batch.status),
            "feedback_score": batch.feedback,
            "device_type": batch.device,
            "platform": batch.platform,
            "app_version": batch.version,
            "country": batch.country,
            "properties": batch.properties,
            "variant": batch.variant,
        }
        return by_column[column]

    def _named(self, batch: EventBatch, names: Mapping[str, pa.Array], columns: Sequence[str]) -> list[pa.Array]:
        return [names[column].take(pa.array(self._codes(batch, column))) for column in columns]

    @cached_property
    def _csv_names(self) -> dict[str, pa.Array]:
        return self._notated(lambda column, name: csv_field(name) + ("\n" if column == "properties" else ""))

    @cached_property
    def _json_names(self) -> dict[str, pa.Array]:
        def notate(column: str, name: str | None) -> str:
            value: Value = int(name) if column == "feedback_score" and name else name
            return f'"{column}":{_json_value(column, value)}' + ("}\n" if column == "properties" else "")

        return self._notated(notate)

    def _notated(self, notate: Callable[[str, str | None], str]) -> dict[str, pa.Array]:
        return {
            column: pa.array([notate(column, name) for name in names], pa.string())
            for column, names in self._names.items()
        }


def _latency_texts(batch: EventBatch) -> pa.Array:
    return pa.array(batch.latency_ms, mask=np.isnan(batch.latency_ms)).cast(pa.string())
