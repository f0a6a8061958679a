"""Logs that a source's changed YAML would leave without a valid row: what was read of them before stands.

Such a change is a slip more often than it is meant. What was published on the strength of the YAML before must not
vanish by it unasked: the logs keep their rows and say why, until the YAML is mended or `quality reread` is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Sources
from quality_assets.stores.readers import FileRejected, FileWaits, RawLog, Staging, lacks_room, verdict_on
from quality_assets.stores.warehouse import WarehouseSession, open_scratch

_LOGS_AT_A_TIME = 64
Why = Mapping[str, str | None]


def what_stands(session: WarehouseSession, sources: Sources, file_ids: Collection[str]) -> dict[str, str | None]:
    """Of these logs, those whose every valid row would be lost by reading them anew; and why, None where they wait."""
    rows = session.connection.execute(
        f"select file_id, log.path, arrived_at, named_source, any_value(landing.path order by landing.path)"
        f" from {LOG_FILES.qualified_name} as log join {LANDING_FILES.qualified_name} as landing using (file_id)"
        " where status = 'loaded' and rows > rows_refused and list_contains($ids, file_id) group by all",
        {"ids": list(file_ids)},
    ).fetchall()
    landing = session.settings.landing_dir
    logs = [RawLog(landing / place, file_id, name, arrived, named) for file_id, name, arrived, named, place in rows]
    found: dict[str, str | None] = {}
    pending = deque(logs[at : at + _LOGS_AT_A_TIME] for at in range(0, len(logs), _LOGS_AT_A_TIME))
    while pending:
        some = pending.popleft()
        try:
            found |= _lost_by_reading(session, sources, some)
        except Exception as error:
            if lacks_room(error):
                raise
            # The scratch database may be of no use any more: each is tried in one of its own.
            if len(some) > 1:
                pending.extendleft([log] for log in some)
            else:
                found[some[0].file_id] = verdict_on(error).reason
    return found


def _lost_by_reading(session: WarehouseSession, sources: Sources, logs: Sequence[RawLog]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    session.settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with open_scratch(session.settings) as scratch:
        scratch.execute("set threads = 1")
        staging = Staging(scratch, sources, session.settings.scratch_dir)
        for number, log in enumerate(logs):
            try:
                staging.read(number, log)
            except FileRejected as rejected:
                found[log.file_id] = rejected.reason
            except FileWaits:
                found[log.file_id] = None
        read = [number for number, log in enumerate(logs) if log.file_id not in found]
        for number, staged in staging.finish(read).items():
            if not staged.good_rows:
                found[logs[number].file_id] = f"none of its {staged.rows:,} rows would be valid"
    return found


def let_stand(session: WarehouseSession, sources: Sources, why: Why) -> None:
    """Say of logs that they stand as they were read, and why; they are tried again when the YAML changes again."""
    rows = session.connection.execute(
        f"select file_id, path, named_source from {LOG_FILES.qualified_name} where list_contains($ids, file_id)",
        {"ids": [file_id for file_id, reason in why.items() if reason is not None]},
    ).fetchall()
    versions = {
        file_id: source.version
        for file_id, path, named in rows
        if (source := sources.expected(path, named)) is not None
    }
    session.connection.execute(
        f"update {LOG_FILES.qualified_name} as log set source_version = stands.version, reason = stands.why from"
        " (select unnest($ids) as file_id, unnest($versions) as version, unnest($why) as why) as stands"
        " where log.file_id = stands.file_id",
        {"ids": list(versions), "versions": list(versions.values()), "why": [why[file_id] for file_id in versions]},
    )
