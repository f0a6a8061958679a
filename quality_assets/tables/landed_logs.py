"""Logs by where they stand in the landing zone, as whoever takes one back names them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.stores.landing import sha256_of
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.known_logs import FILE_ID_DIGITS


@dataclass(frozen=True)
class LandedLog:
    """A log, and the paths that it stands at, of which there are none where its bytes are gone.

    `told_by` is the path of the log that has its lines, where that counts instead.
    """

    file_id: str
    path: str
    status: str
    rows: int
    dates: tuple[date, ...]
    reason: str | None
    paths: tuple[str, ...]
    told_by: str | None


def logs_at(session: WarehouseSession, place: str) -> list[LandedLog]:
    """The logs at a path of the landing zone, or in a folder of it; else the log with the bytes of a file elsewhere."""
    landing = session.settings.landing_dir.resolve()
    given = Path(place).absolute()
    inside = given.resolve().is_relative_to(landing)
    name = given.resolve().relative_to(landing).as_posix() if inside else place.rstrip("/")
    found = _found(
        session,
        "list_has_any(paths, [$name]) or len(list_filter(paths, lambda p: starts_with(p, $name || '/'))) > 0"
        " or (len(paths) = 0 and status = 'loaded' and coalesce(moved_to, path) = $name)",
        {"name": name},
    )
    if not found and not inside and given.is_file():
        return _found(session, "file_id = $file_id", {"file_id": sha256_of(given)[:FILE_ID_DIGITS]})
    return found


def paths_like(session: WarehouseSession, place: str, most: int = 3) -> list[str]:
    """Paths of logs whose file has that name, in whatever folder; else those whose paths look most alike."""
    rows = session.connection.execute(f"select distinct path from {LANDING_FILES.qualified_name} order by path")
    paths = [path for (path,) in rows.fetchall()]
    named = [path for path in paths if Path(path).name == Path(place).name]
    return (named or get_close_matches(place, paths, n=most))[:most]


def _found(session: WarehouseSession, condition: str, parameters: dict[str, str]) -> list[LandedLog]:
    rows = session.connection.execute(
        f"with places as (select file_id, list(path order by path) as paths from {LANDING_FILES.qualified_name}"
        " group by file_id),"
        f" logs as (select * replace (coalesce(paths, []) as paths) from {LOG_FILES.qualified_name}"
        " left join places using (file_id))"
        " select file_id, path, status, rows, touched_dates, reason, paths, (select coalesce(heir.moved_to, heir.path)"
        f" from {LOG_FILES.qualified_name} as heir where heir.file_id = logs.superseded_by) as told_by"
        f" from logs where {condition} order by file_number",
        parameters,
    ).fetchall()
    return [
        LandedLog(file_id, path, status, count, tuple(dates), reason, tuple(paths), told_by)
        for file_id, path, status, count, dates, reason, paths, told_by in rows
    ]
