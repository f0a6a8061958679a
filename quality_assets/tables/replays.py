"""Which logs can be read again, and what that would make of the rows of theirs that were refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS, Reason
from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Sources, load_sources
from quality_assets.stores.readers import FileRejected, RawLog, Staging
from quality_assets.stores.warehouse import WarehouseSession, open_scratch
from quality_assets.tables.withdrawals import standing_files


@dataclass(frozen=True)
class Rereading:
    """Logs that are to be read again, by file_id, and the paths of those that cannot be.

    `lost` are no longer there to be read; `off` are of a source that is off, and would be withdrawn and wait.
    """

    file_ids: tuple[str, ...]
    lost: tuple[str, ...]
    off: tuple[str, ...] = ()


@dataclass
class Replay:
    """Rows that were refused, and what reading them now would make of them: `valid` ones, and others by reason."""

    rereading: Rereading
    rows: int = 0
    valid: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def files_to_reread(
    session: WarehouseSession, source: str | None = None, start: date | None = None, end: date | None = None
) -> Rereading:
    """The logs of a source with rows of dates from `start` to `end`; all where nothing is asked for.

    Logs that were rejected as a whole have neither: they are among them where no dates are asked for and the source
    is, or may be, theirs.
    """
    rows = session.connection.execute(
        f"select file_id, path from {LOG_FILES.qualified_name} where"
        " ((status = 'loaded' and ($source is null or source = $source) and ($from is null or"
        " len(list_filter(touched_dates, lambda d: d between $from and $to)) > 0))"
        " or (status in ('rejected', 'superseded') and $from is null"
        " and (source = $source or $source is null or source is null)))"
        " order by file_number",
        {"source": source, "from": start, "to": end},
    ).fetchall()
    return _rereading(session, rows)


def _rereading(session: WarehouseSession, rows: Sequence[tuple[str, str]]) -> Rereading:
    standing = standing_files(session)
    named = dict(
        session.connection.execute(
            f"select file_id, named_source from {LOG_FILES.qualified_name} where status = 'loaded'"
        ).fetchall()
    )
    sources = load_sources(session.settings.source_folders, session.settings.earliest_date)
    off = {file_id for file_id, path in rows if file_id in named and sources.expected(path, named[file_id]) is None}
    return Rereading(
        tuple(file_id for file_id, _ in rows if file_id in standing - off),
        tuple(path for file_id, path in rows if file_id not in standing and file_id in named),
        tuple(path for file_id, path in rows if file_id in standing & off),
    )


def look_at_replay(
    session: WarehouseSession, sources: Sources, reason: str, source: str | None, read_at: datetime
) -> Replay:
    """What reading anew would make of the rows that were refused for `reason`; nothing is changed."""
    rows = session.connection.execute(
        f"select file_id, any_value(path), count(*) from {QUARANTINED_EVENTS.qualified_name}"
        f" join {LOG_FILES.qualified_name} using (file_id)"
        " where list_contains(reasons, $reason) and ($source is null or source = $source)"
        " group by file_id order by any_value(file_number)",
        {"reason": reason, "source": source},
    ).fetchall()
    replay = Replay(_rereading(session, [row[:2] for row in rows]), sum(row[2] for row in rows))
    for file_id in replay.rereading.file_ids:
        _look_at(session, sources, file_id, reason, read_at, replay)
    return replay


def _look_at(
    session: WarehouseSession, sources: Sources, file_id: str, reason: str, read_at: datetime, replay: Replay
) -> None:
    """Read one log into scratch, and count what becomes of its refused rows."""
    connection = session.connection
    found = connection.execute(
        f"select log.path, named_source, landing.path from {LOG_FILES.qualified_name} as log"
        f" join {LANDING_FILES.qualified_name} as landing using (file_id) where file_id = $id limit 1",
        {"id": file_id},
    ).fetchall()
    if not found:
        return
    name, named, place = found[0]
    asked = connection.sql(
        f"select line_number from {QUARANTINED_EVENTS.qualified_name} where file_id = $id"
        " and list_contains(reasons, $reason)",
        params={"id": file_id, "reason": reason},
    ).to_arrow_table()
    with open_scratch(session.settings) as scratch:
        scratch.execute("set threads = 1")
        scratch.register("asked", asked)
        staging = Staging(scratch, sources, session.settings.scratch_dir)
        session.settings.scratch_dir.mkdir(parents=True, exist_ok=True)
        try:
            staging.read(0, RawLog(session.settings.landing_dir / place, file_id, name, read_at, named))
        except FileRejected as rejected:
            replay.refused[f"the whole file is rejected: {rejected}"] += asked.num_rows
            return
        staged = staging.finish()[0]
        events = staging.events_sql([0], ("event_date", "event_id", "line_number"))
        good = scratch.sql(f"select * from ({events}) semi join asked using (line_number)").to_arrow_table()
        refused = scratch.execute(
            "select reason, count(*) from (select unnest(reasons) as reason from judged semi join asked using"
            " (line_number) where reasons is not null) group by reason"
        ).fetchall()
    connection.register("would_be_good", good)
    counted = connection.execute(
        "select count(distinct (event_date, event_id)), (select count(*) from would_be_good) from would_be_good"
        " anti join (select event_date, event_id from"
        f" {VALID_EVENTS.qualified_name} join {LOG_FILES.qualified_name} using (file_id) where source = $source)"
        " as kept using (event_date, event_id)",
        {"source": staged.source},
    ).fetchall()
    connection.unregister("would_be_good")
    valid, readable = counted[0]
    replay.valid += valid
    replay.refused.update(dict(refused))
    if readable > valid:
        replay.refused[Reason.DUPLICATE_EVENT_ID.value] += readable - valid
