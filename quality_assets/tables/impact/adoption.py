"""Building adoption, adoption curves and retention from first uses and user days."""

from __future__ import annotations

from datetime import date

from quality_assets.contracts.events import USER_FEATURE_DAYS
from quality_assets.contracts.impact import (
    ADOPTION_CURVE,
    COHORT_DAYS,
    FEATURE_ADOPTION,
    MONTH_DAYS,
    RETENTION,
    RETENTION_CELLS,
)
from quality_assets.contracts.users import USER_DAYS
from quality_assets.domain.impact import cohorts
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.catching_up import (
    Rows,
    Stretch,
    built_dates,
    catch_up,
    days_before,
    lake_rows,
    register_dates,
)
from quality_assets.tables.impact.people import keyed_usage


def build_feature_adoption(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.feature_adoption up to date; rows per date."""
    return catch_up(session, (FEATURE_ADOPTION,), _adoption, progress)


def _adoption(session: WarehouseSession, stretch: Stretch) -> Rows | None:
    register_dates(session, built_dates(session))
    uses = (
        "(select used.event_date, feature, used.events, lived.features"
        f" from {lake_rows(session, USER_FEATURE_DAYS, stretch.start, stretch.end)} as used"
        f" join {lake_rows(session, USER_DAYS, stretch.start, stretch.end)} as lived"
        " on lived.event_date = used.event_date and lived.user_id = used.user_id where not is_automated)"
    )
    connection = session.connection
    connection.execute(
        "create or replace temp table usage as"
        f" {keyed_usage(session, days_before(stretch.start, MONTH_DAYS - 1), stretch.end)}"
    )
    query = cohorts.feature_adoption_sql("usage", uses, of_one_day=len(stretch.dates) == 1)
    connection.execute(
        f"insert into {FEATURE_ADOPTION.qualified_name} by name {query}", {"start": stretch.start, "end": stretch.end}
    )
    connection.execute("drop table usage")
    return None


def build_adoption_curve(session: WarehouseSession) -> int:
    """Replace impact.adoption_curve; its rows."""
    connection = session.connection
    with session.transaction():
        connection.execute(f"delete from {ADOPTION_CURVE.qualified_name}")
        connection.execute(
            f"insert into {ADOPTION_CURVE.qualified_name} by name {cohorts.ADOPTION_CURVE_SQL}",
            # Not the last day on which somebody joined: who came before it is still watched.
            {"through": max(built_dates(session), default=None)},
        )
    return int(connection.execute(f"select count(*) from {ADOPTION_CURVE.qualified_name}").fetchall()[0][0])


def build_retention_cells(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.retention_cells up to date; rows per date."""
    return catch_up(session, (RETENTION_CELLS,), _cells, progress, most_days=COHORT_DAYS)


def _cells(session: WarehouseSession, stretch: Stretch) -> Rows | None:
    connection = session.connection
    now = keyed_usage(session, stretch.start, stretch.end)
    active = cohorts.active_sql(f"({now})", of_many_days=len(stretch.dates) > MONTH_DAYS)
    used = keyed_usage(session, days_before(stretch.start, COHORT_DAYS), stretch.end)
    connection.execute(
        f"insert into {RETENTION_CELLS.qualified_name} by name"
        f" {cohorts.retention_cells_sql(f'({active})', f'({used})')}",
        {"start": stretch.start, "end": stretch.end},
    )
    return None


def build_retention(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.retention up to date; rows per cohort."""
    return catch_up(session, (RETENTION,), _retention, progress)


def _retention(session: WarehouseSession, stretch: Stretch) -> Rows | None:
    register_dates(session, built_dates(session))
    session.connection.execute(
        f"insert into {RETENTION.qualified_name} by name {cohorts.retention_sql()}",
        {"start": stretch.start, "end": stretch.end},
    )
    return None
