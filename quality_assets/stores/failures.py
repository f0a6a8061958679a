"""What fails to be built just now, in a file that everybody may read while a run holds the warehouse.

A failure stands until the same asset is built for the same dates. The history is in ops.asset_runs and in
monitoring.alerts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from filelock import FileLock

from quality_assets.stores.files import write_atomically

FAILURES = "failures.json"
MAX_CAUSE_LENGTH = 2000


@dataclass(frozen=True)
class BuildFailure:
    """One asset that could not be built: for which dates (both None: it has none), since when, by which run, and why.

    Times are UTC without zone.
    """

    asset: str
    start: date | None
    end: date | None
    since: datetime
    failed_at: datetime
    run_id: str
    cause: str

    @property
    def dates(self) -> str:
        """The dates as text; empty where there are none."""
        if self.start is None:
            return ""
        return f"{self.start}" if self.start == self.end else f"{self.start} to {self.end}"

    @property
    def sentence(self) -> str:
        """What failed, for which dates, since when and why."""
        where = f" for {self.dates}" if self.dates else ""
        return f"{self.asset}{where} has failed since {self.since:%Y-%m-%d %H:%M} UTC: {self.cause}"


def failures(published_dir: Path) -> list[BuildFailure]:
    """What fails, the longest first; nothing where the file is absent or unreadable."""
    try:
        rows = json.loads((published_dir / FAILURES).read_text(encoding="utf-8"))
        found = [_parsed(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return sorted(found, key=lambda failure: (failure.since, failure.asset))


def record_failure(
    published_dir: Path, asset: str, dates: tuple[date, date] | None, *, run_id: str, cause: str, failed_at: datetime
) -> None:
    """Remember that `asset` could not be built for `dates`; since when is kept from what failed there before."""
    start, end = dates or (None, None)
    with _locked(published_dir):
        before = failures(published_dir)
        hidden = [each for each in before if each.asset == asset and _rest(each, dates) != [each]]
        since = min((each.since for each in hidden), default=failed_at)
        text = cause.strip()[:MAX_CAUSE_LENGTH] or "no message"
        failure = BuildFailure(asset, start, end, since, failed_at, run_id, text)
        _write(published_dir, [*_without(before, asset, dates), failure])


def record_success(published_dir: Path, asset: str, dates: tuple[date, date] | None) -> None:
    """Forget that `asset` failed for `dates`."""
    if not any(failure.asset == asset for failure in failures(published_dir)):
        return
    with _locked(published_dir):
        _write(published_dir, _without(failures(published_dir), asset, dates))


def _locked(published_dir: Path) -> FileLock:
    published_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(published_dir / ".failures.lock")


def _without(before: Iterable[BuildFailure], asset: str, dates: tuple[date, date] | None) -> list[BuildFailure]:
    return [rest for each in before for rest in ([each] if each.asset != asset else _rest(each, dates))]


def _rest(failure: BuildFailure, dates: tuple[date, date] | None) -> list[BuildFailure]:
    """What of a failure stands when its asset was built for `dates`."""
    if dates is None or failure.start is None or failure.end is None:
        return []
    start, end = dates
    if end < failure.start or start > failure.end:
        return [failure]
    day = timedelta(days=1)
    before = [replace(failure, end=start - day)] if failure.start < start else []
    return before + ([replace(failure, start=end + day)] if failure.end > end else [])


def _write(published_dir: Path, found: Iterable[BuildFailure]) -> None:
    write_atomically(published_dir / FAILURES, json.dumps([asdict(each) for each in found], default=str, indent=2))


def _parsed(row: dict[str, str | None]) -> BuildFailure:
    start, end = (date.fromisoformat(text) if text else None for text in (row["start"], row["end"]))
    since, failed_at = (datetime.fromisoformat(str(row[name])) for name in ("since", "failed_at"))
    return BuildFailure(str(row["asset"]), start, end, since, failed_at, str(row["run_id"]), str(row["cause"]))
