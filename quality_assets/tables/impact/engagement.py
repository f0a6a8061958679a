"""Building impact.engagement_days from sessions, funnels and what a share is."""

from __future__ import annotations

from datetime import date, timedelta

from quality_assets.contracts.definitions import Funnel, Sharing
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.impact import ENGAGEMENT_DAYS, EVENT_DAYS, INVITED_WITHIN_DAYS
from quality_assets.domain.impact import engagement as sql
from quality_assets.domain.impact.funnels import Bound
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.catching_up import Rows, Stretch, built_dates, catch_up, lake_rows
from quality_assets.tables.impact.defined import definitions_of


def build_engagement_days(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.engagement_days up to date; rows per date."""
    sharing = next(iter(definitions_of(session, Sharing).values()), None)
    _make_completing(session, definitions_of(session, Funnel))

    def build(session: WarehouseSession, stretch: Stretch) -> Rows | None:
        _build(session, stretch, sharing)
        return None

    return catch_up(session, (ENGAGEMENT_DAYS,), build, progress)


def _make_completing(session: WarehouseSession, funnels: dict[str, Funnel]) -> None:
    """Make `completing` the funnel that speaks for each feature: the first by name whose first step is of it.

    A first step that names an event alone is of the features that have the event.
    """
    first = [funnel.steps[0] for funnel in funnels.values()]
    session.connection.execute(
        "create or replace temp table completing as with begun as ("
        " select unnest($funnels) as funnel, unnest($steps) as step, unnest(cast($features as varchar[])) as feature,"
        " unnest(cast($names as varchar[])) as event_name)"
        " select days.feature, min(begun.funnel) as funnel, arg_min(begun.step, begun.funnel) as step from begun"
        f" join (select distinct feature, event_name from {EVENT_DAYS.qualified_name}) as days"
        " on coalesce(begun.feature, days.feature) = days.feature"
        " and coalesce(begun.event_name, days.event_name) = days.event_name group by days.feature",
        {
            "funnels": list(funnels),
            "steps": [len(funnel.steps) for funnel in funnels.values()],
            "features": [step.feature for step in first],
            "names": [step.event_name for step in first],
        },
    )


def _build(session: WarehouseSession, stretch: Stretch, sharing: Sharing | None) -> None:
    bound = Bound()
    shared = sql.NO_SHARING_SQL
    span: dict[str, object] = {"start": stretch.start, "end": stretch.end}
    if sharing is not None:
        until = stretch.end + timedelta(days=INVITED_WITHIN_DAYS)
        shared = sql.sharing_sql(sharing, lake_rows(session, VALID_EVENTS, stretch.start, until), bound)
        if sharing.inviter:
            span["through"] = built_dates(session)[-1]
    session.connection.execute(
        f"insert into {ENGAGEMENT_DAYS.qualified_name} by name {sql.engagement_days_sql(shared)}",
        {**bound.values, **span},
    )
