"""A product of one feature, which everybody uses, and where everybody meets a crash: nobody is left to compare with."""

from __future__ import annotations

from pathlib import Path

from user_logs import Event, build_impact, by_day, define_nothing, put_days

from quality_assets.contracts.churn import CRASH_COSTS
from quality_assets.contracts.experiments import LIFT_ESTIMATES
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.experiments.crashes import build_crash_costs
from quality_assets.tables.experiments.lift import build_lift
from tests.conftest import new_settings

DAYS, EARLY, LATE = 106, 5, 200


def people() -> list[Event]:
    """Some from the first day on, many who join later; each meets a crash on its first day, and comes every third."""
    firsts = [0] * EARLY + [50 + number % 40 for number in range(LATE)]
    return [
        Event(at=day * 86_400 + number, user_id=f"u{number}", status="crash" if day == first else "ok")
        for number, first in enumerate(firsts)
        for day in range(first, DAYS, 3)
    ]


def test_where_everybody_is_alike_nothing_is_compared(tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "data")
    settings.data_dir.mkdir()
    define_nothing(settings)
    with open_warehouse(settings) as session:
        put_days(session, by_day(people()))
        build_impact(session)
        build_lift(session)
        build_crash_costs(session)
        told = [
            session.connection.execute(f"select verdict, reason from {table.qualified_name}").fetchall()
            for table in (LIFT_ESTIMATES, CRASH_COSTS)
        ]
    # The five who met theirs on the first day come on 13 of the 40 days on which others meet their first.
    lift, crashes = "0 active days of others who had not used it", "65 active days of others who had met no crash"
    assert told == [
        [("not measured", f"Not measured: there are {words}, and 200 are needed to compare with.")]
        for words in (lift, crashes)
    ]
