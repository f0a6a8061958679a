"""Building product.feature_states: the detector goes on from the last day before the first that has changed.

It carries little from a day to the next, and that is kept for the last days (docs/adr/0027). Where nothing fits,
because code, descriptions or an old day are others, it goes over all days again. Only days that differ are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quality_assets.contracts.metrics import TREND_METRICS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.series.carrying import DAYS_BEFORE, Carried
from quality_assets.domain.series.resuming import (
    STORED_COLUMNS,
    CutShortError,
    begun_before,
    dated_anew,
    first_index,
    with_days_before,
)
from quality_assets.domain.series.state_rows import rows_of
from quality_assets.domain.series.states import PARTS, Asked, Described, watched_on
from quality_assets.progress import Progress
from quality_assets.stores.checkpoints import (
    CheckpointFile,
    checkpoint_files,
    drop_checkpoints,
    read_arrays,
    write_checkpoint,
)
from quality_assets.stores.files import write_atomically
from quality_assets.stores.frames import as_arrow
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.champion import code_digest
from quality_assets.tables.feature_states import described_in_short, probe_sources, read_described
from quality_assets.tables.state_history import (
    History,
    feature_panels,
    inputs_by_day,
    part_panel_of,
    read_history,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_STATES = FEATURE_STATES.qualified_name
WEEKS_KEPT = 10
"""A day that is older than this is late enough for all days to be gone over again."""
_CODE = (
    "quality_assets.contracts.metrics",
    "quality_assets.contracts.states",
    *(
        f"quality_assets.domain.series.{name}"
        for name in (
            "baseline", "carrying", "dating", "detection", "objectives", "panel", "rare", "resuming", "scale",
            "settings", "silence", "state_rows", "states", "walk",
        )
    ),
    "quality_assets.domain.events.watched",
    "quality_assets.tables.feature_states",
    "quality_assets.tables.state_building",
    "quality_assets.tables.state_history",
)  # fmt: skip
_WRITTEN = "written"
"""File beside the checkpoints: of which rows of the table they are the continuation."""


@dataclass(frozen=True)
class Start:
    """Where the detector can be taken up: a day, and what it carries of each panel; read once it is asked for."""

    file: CheckpointFile

    @property
    def day(self) -> date:
        return self.file.day

    @cached_property
    def carried(self) -> dict[str, Carried]:
        """By panel; none where the file is damaged."""
        try:
            arrays = read_arrays(self.file.path)
        except (OSError, ValueError, LookupError, TypeError):
            return {}
        return {panel: Carried(np.datetime64(self.day, "D"), values) for panel, values in arrays.items()}

    def fits(self, asked: Asked) -> bool:
        """Whether it is of the same series."""
        return asked.name in self.carried and self.file.keys[asked.name] == _keys(asked)

    def needs_from(self, history: History) -> date:
        """The first day that has to be read."""
        days = [each.needs_from.astype(object) for each in self.carried.values()]
        return max(history.first, min(days, default=history.first))


@dataclass(frozen=True)
class Made:
    """Of panels that were gone over after `day`, all days where it is None: rows of the days since, what changes of the
    days before, and by panel what is carried at the end of days, and the keys."""

    day: date | None
    rows: list[pd.DataFrame]
    redated: list[pd.DataFrame]
    carried: dict[str, dict[date, Carried]]
    keys: dict[str, list[Any]]


def build_states(session: WarehouseSession, progress: Progress) -> int:
    """Bring product.feature_states up to what the facts say now; the rows that it has."""
    connection = session.connection
    described = read_described(connection, probe_sources(session.settings))
    inputs = inputs_by_day(connection, _base(described))
    history = read_history(connection)
    kept = _kept_days(max(inputs)) if history is not None else []
    starts = _starts(session, inputs) if history is not None and _is_as_written(session) else []
    made = [] if history is None else _made(_Walk(connection, history, described, starts, kept))
    changed = _write(session, made)
    _keep(session, made, inputs, kept)
    progress(f"states of {len(changed)} days")
    return sum(count for _, count, _ in _digests(connection))


def _base(described: Described) -> str:
    """Of all that states of any day hang on: code, and what is said of features."""
    return repr((_code(), np.__version__, described_in_short(described)))


@lru_cache(maxsize=1)
def _code() -> str:
    return code_digest(_CODE)


def _kept_days(last: date) -> list[date]:
    """The day before the last, of which more may come, and one a week of the weeks before it."""
    before = [last - timedelta(days=number) for number in range(1, 7 * WEEKS_KEPT + 1)]
    return [day for day in before if day == before[0] or day.toordinal() % 7 == 0]


def _starts(session: WarehouseSession, inputs: Mapping[date, str]) -> list[Start]:
    """Where the detector can be taken up, the newest day first."""
    last, files = max(inputs), checkpoint_files(session.settings.detector_dir)
    return [Start(file) for file in files if file.day < last and file.inputs == _inputs_at(inputs, file.day)]


def _inputs_at(inputs: Mapping[date, str], day: date) -> str | None:
    """The fingerprint of the last day with data up to `day`."""
    known = [each for each in inputs if each <= day]
    return inputs[max(known)] if known else None


def _keys(asked: Asked) -> list[Any]:
    return [list(key) if isinstance(key, tuple) else key for key in asked.panel.keys]


@dataclass(frozen=True)
class _Walk:
    """What the detector goes over, where it may be taken up, and of which days it says what it carries."""

    connection: DuckDBPyConnection
    history: History
    described: Described
    starts: list[Start]
    kept: list[date]


def _made(walk: _Walk) -> list[Made]:
    """Whole features, then each kind of parts of them."""
    days = walk.connection.execute(f"select distinct event_date from {FACT_FEATURE_METRICS.qualified_name}").fetchall()
    known = [day for (day,) in days]

    def features(since: date) -> list[Asked]:
        return feature_panels(walk.connection, walk.history, walk.described, since, TREND_METRICS)

    def part(name: str, since: date) -> list[Asked]:
        asked = part_panel_of(walk.connection, walk.history, walk.described, since, name, known)
        return [] if asked is None else [asked]

    return [_gone_over(walk, "", features), *(_gone_over(walk, name, partial(part, name)) for name in PARTS)]


def _gone_over(walk: _Walk, part: str, asked_since: Callable[[date], list[Asked]]) -> Made:
    """From the newest day on from which it can be told; from the first on where there is none."""
    for start in walk.starts:
        if start.carried and not (part and _reaches_back(walk.connection, part, start.day)):
            try:
                return _gone_on(walk, part, asked_since(start.needs_from(walk.history)), start)
            except CutShortError:
                continue
    asked = asked_since(walk.history.first)
    found = [watched_on(each, None, walk.kept) for each in asked]
    rows = [rows_of(watched) for watched, _ in found]
    return Made(None, rows, [], *_carried(asked, [kept for _, kept in found]))


def _carried(
    asked: list[Asked], kept: list[dict[date, Carried]]
) -> tuple[dict[str, dict[date, Carried]], dict[str, list[Any]]]:
    names = [each.name for each in asked]
    return dict(zip(names, kept, strict=True)), dict(zip(names, map(_keys, asked), strict=True))


def _reaches_back(connection: DuckDBPyConnection, part: str, day: date) -> bool:
    """Whether an episode of parts that is stored as found after `day` has rows up to it: they might have to go."""
    row = connection.execute(
        f"select min(least(run_since, event_date)) - {DAYS_BEFORE} <= $day from {_STATES}"
        f" where {part} <> '' and is_found and event_date > $day",
        {"day": day},
    ).fetchone()
    return bool(row and row[0])


def _gone_on(walk: _Walk, part: str, asked: list[Asked], start: Start) -> Made:
    """CutShortError where more of the history has to be gone over."""
    if not all(start.fits(each) for each in asked):
        raise CutShortError("other series")
    found = [watched_on(each, start.carried[each.name], walk.kept) for each in asked]
    begun = [begun_before(watched, start.carried[each.name]) for each, (watched, _) in zip(asked, found, strict=True)]
    for each, begin in zip(asked, begun, strict=True):
        # Of parts the days before an episode are rows of their own.
        if part and not np.isnat(begin[np.isnat(start.carried[each.name].begun)]).all():
            raise CutShortError("rows before the day")
    stored = _stored(walk.connection, part, start.day, begun)
    rows, redated = [], []
    for each, (watched, _), begin in zip(asked, found, begun, strict=True):
        carried = start.carried[each.name]
        own = stored[stored["metric"] == each.panel.metric]
        whole = with_days_before(watched, carried, begin, own)
        rows.append(rows_of(whole, first=first_index(whole, carried)))
        redated.append(dated_anew(whole, carried))
    return Made(start.day, rows, redated, *_carried(asked, [kept for _, kept in found]))


def _stored(connection: DuckDBPyConnection, part: str, day: date, begun: list[np.ndarray]) -> pd.DataFrame:
    """What is stored of the days that episodes are dated by."""
    days = np.concatenate(begun) if begun else np.zeros(0, "datetime64[D]")
    there = days[~np.isnat(days)]
    first = there.min().astype(object) if len(there) else None
    of_part = f"{part} <> ''" if part else " and ".join(f"{name} = ''" for name in PARTS)
    return connection.execute(
        f"select {FEATURE_STATES.select_list(STORED_COLUMNS)} from {_STATES}"
        f" where event_date between $first and $day and {of_part}",
        {"first": first, "day": day},
    ).df()


def _write(session: WarehouseSession, made: Sequence[Made]) -> list[date]:
    """Put in the rows of the days that differ; these days."""
    connection = session.connection
    after = dict.fromkeys(("whole", *PARTS), date.min)
    after |= {kind: each.day or date.min for kind, each in zip(("whole", *PARTS), made, strict=False)}
    views = {
        "states_now": [rows for each in made for rows in each.rows],
        "states_redated": [rows for each in made for rows in each.redated],
    }
    for name, frames in views.items():
        connection.register(name, as_arrow(FEATURE_STATES, _together(frames)))
    try:
        with session.transaction():
            changed = _days(connection, _CHANGED_SQL, after)
            # What is left unread would be in the way of what comes next.
            connection.execute(
                f"delete from {_STATES} where list_contains($days, event_date) and {_IN_SCOPE}",
                {"days": changed, **after},
            ).fetchall()
            connection.execute(
                f"insert into {_STATES} by name select * from states_now where list_contains($days, event_date)"
                " order by event_date, feature, metric, event_name, platform",
                {"days": changed},
            ).fetchall()
            redated = _days(connection, f"select distinct event_date {_REDATED_SQL}", {})
            if redated:
                told = ", ".join(f"{name} = now.{name}" for name in _REDATED)
                connection.execute(
                    f"update {_STATES} as stored set {told} from states_redated as now"
                    f" where {_SAME_KEY} and {_OTHERWISE}"
                ).fetchall()
    finally:
        for name in views:
            connection.unregister(name)
    return sorted({*changed, *redated})


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    there = [frame for frame in frames if len(frame)]
    return pd.concat(there, ignore_index=True) if there else pd.DataFrame(columns=list(FEATURE_STATES.column_names))


def _days(connection: DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]) -> list[date]:
    return [day for (day,) in connection.execute(sql, dict(parameters)).fetchall()]


# Of the rows of a day a number that differs where they do, in whatever order they are.
_DIGEST = f"sum(cast(hash({FEATURE_STATES.select_list()}) as hugeint))"
_IN_SCOPE = (
    "event_date > case when event_name <> '' then $event_name when platform <> '' then $platform else $whole end"
)
_CHANGED_SQL = (
    f"with now as (select event_date, count(*) as n, {_DIGEST} as digest from states_now group by 1),"
    f" stored as (select event_date, count(*) as n, {_DIGEST} as digest from {_STATES} where {_IN_SCOPE} group by 1)"
    " select event_date from now full join stored using (event_date)"
    " where now.n is distinct from stored.n or now.digest is distinct from stored.digest order by 1"
)
_REDATED = ("since", "worst_date", "worst_size")
_SAME_KEY = " and ".join(f"stored.{name} = now.{name}" for name in FEATURE_STATES.key)
_OTHERWISE = "(" + " or ".join(f"stored.{name} is distinct from now.{name}" for name in _REDATED) + ")"
_REDATED_SQL = (
    f"from (select stored.event_date from {_STATES} as stored join states_redated as now on {_SAME_KEY}"
    f" where {_OTHERWISE})"
)


def _digests(connection: DuckDBPyConnection) -> list[tuple[date, int, int]]:
    """Of each day that is stored: the number of its rows, and one that differs where they do."""
    return connection.execute(f"select event_date, count(*), {_DIGEST} from {_STATES} group by 1 order by 1").fetchall()


def _as_it_stands(connection: DuckDBPyConnection) -> str:
    return hashlib.sha256(repr(_digests(connection)).encode()).hexdigest()


def _is_as_written(session: WarehouseSession) -> bool:
    """Whether the table is the one that the checkpoints go on from."""
    path = session.settings.detector_dir / _WRITTEN
    return path.is_file() and path.read_text(encoding="utf-8") == _as_it_stands(session.connection)


def _keep(session: WarehouseSession, made: Sequence[Made], inputs: Mapping[date, str], kept: Sequence[date]) -> None:
    """Write down what is carried at the end of days; of days before, what was written holds."""
    folder = session.settings.detector_dir
    carried = {name: days for each in made for name, days in each.carried.items()}
    keys = {name: own for each in made for name, own in each.keys.items()}
    gone_over = [day for day in kept if carried and all(day in days for days in carried.values())]
    before = {file.day for file in checkpoint_files(folder) if file.inputs == _inputs_at(inputs, file.day)}
    drop_checkpoints(folder, before & set(kept))
    for day in gone_over:
        own = {name: days[day].values for name, days in carried.items()}
        write_checkpoint(folder, day, str(_inputs_at(inputs, day)), keys, own)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _WRITTEN, _as_it_stands(session.connection))
