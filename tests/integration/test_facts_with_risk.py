"""Facts beside risk and what came: values by hand, and only days that changed are written anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from quality_assets.contracts.facts_with_risk import FEATURE_METRICS_WITH_RISK
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import DEGRADATION_LABELS, RISK_SCORES
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Table
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.facts_with_risk import build_facts_with_risk
from quality_assets.tables.staleness import data_fingerprint

START = date(2026, 3, 1)
_FILLERS = {"VARCHAR": "", "BOOLEAN": False, "DOUBLE": 0.0, "BIGINT": 0, "INTEGER": 1, "DATE": START, "VARCHAR[]": []}


def day(number: int) -> date:
    return START + timedelta(days=number)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    with open_warehouse(Settings(data_dir=tmp_path / "data", _env_file=None)) as opened:  # type: ignore[call-arg]
        yield opened


def put(session: WarehouseSession, table: Table, *rows: dict[str, object]) -> None:
    must = {c.name: _FILLERS.get(c.type) for c in table.columns if not c.nullable}
    for row in rows:
        values = must | row
        names = ", ".join(f"${name} as {name}" for name in values)
        session.connection.execute(f"insert into {table.qualified_name} by name select {names}", values)


def fill(session: WarehouseSession) -> None:
    put(session, FACT_FEATURE_METRICS, *({"event_date": day(d), "feature": "pay", "events": 10 + d} for d in range(3)))
    put(session, FACT_FEATURE_METRICS, {"event_date": day(0), "feature": "maps", "events": 5})
    score = {"feature": "pay", "horizon_days": 7, "score_kind": "model", "reasons": "[]"}
    put(
        session,
        RISK_SCORES,
        score | {"event_date": day(0), "model_version": "rolling-1", "risk_probability": 0.1, "is_backfilled": True},
        # Said by version 9, then by 10, which is newer; and a version that could not tell.
        score | {"event_date": day(1), "model_version": "9", "risk_probability": 0.2},
        score
        | {"event_date": day(1), "model_version": "10", "risk_probability": 0.3, "low": 0.2, "high": 0.4, "rank": 2},
        score | {"event_date": day(1), "model_version": "11", "score_kind": "unknown"},
    )
    label = {"feature": "pay", "horizon_days": 7}
    put(
        session,
        DEGRADATION_LABELS,
        label | {"event_date": day(0), "label_any": True, "days_to_degradation": 3},
        label | {"event_date": day(1), "label_any": False},
        label | {"event_date": day(2)},
    )
    put(
        session,
        INCIDENTS,
        # Began that day, a week on, and after that; one of another feature.
        *(
            {"incident_id": name, "feature": feature, "start_date": day(start), "detected_on": day(start)}
            for name, feature, start in (("now", "pay", 1), ("later", "pay", 8), ("far", "pay", 30), ("not", "maps", 2))
        ),
    )


def rows(session: WarehouseSession) -> pd.DataFrame:
    return session.connection.execute(
        "select * from product.feature_metrics_with_risk order by feature desc, event_date"
    ).df()


def states(session: WarehouseSession) -> dict[date, str]:
    found = session.connection.execute(
        "select event_date, inputs_fingerprint from ops.partition_state"
        " where table_name = 'product.feature_metrics_with_risk'"
    ).fetchall()
    return dict(found)


def test_facts_stand_beside_the_newest_known_risk_and_what_came(session: WarehouseSession) -> None:
    fill(session)
    before = data_fingerprint(session.connection)
    assert build_facts_with_risk(session) == 4
    found = rows(session)
    assert list(found.columns) == list(FEATURE_METRICS_WITH_RISK.column_names)
    assert found["feature"].tolist() == ["pay"] * 3 + ["maps"]
    assert found["events"].tolist() == [10, 11, 12, 5]
    assert found["risk_probability"].astype(object).where(found["risk_probability"].notna(), None).tolist() == [
        0.1, 0.3, None, None,
    ]  # fmt: skip
    assert found["model_version"].tolist()[:2] == ["rolling-1", "10"]
    assert found[["risk_low", "risk_high", "risk_rank"]].iloc[1].tolist() == [0.2, 0.4, 2]
    assert found["is_backfilled"].tolist()[0] is True
    assert found["label_any"].tolist()[:2] == [True, False]
    assert found["days_to_degradation"].tolist()[0] == 3
    # Of what began after the day and within seven the first: on the day itself it is no more ahead.
    assert found["incident_ahead"].where(found["incident_ahead"].notna(), None).tolist() == [
        "now",
        "later",
        "later",
        None,
    ]
    # What is copied is no other data.
    assert data_fingerprint(session.connection) == before


def test_only_days_that_changed_are_written_anew(session: WarehouseSession) -> None:
    fill(session)
    build_facts_with_risk(session)
    first = states(session)
    assert sorted(first) == [day(0), day(1), day(2)]
    # Were the first day written anew, this would be gone.
    session.connection.execute(
        f"update product.feature_metrics_with_risk set events = 99 where event_date = '{day(0)}' and feature = 'pay'"
    )
    session.connection.execute(f"update ml.degradation_labels set label_any = true where event_date = '{day(2)}'")
    build_facts_with_risk(session)
    second = states(session)
    assert {d for d in first if first[d] != second[d]} == {day(2)}
    assert rows(session)["events"].tolist() == [99, 11, 12, 5]
    assert rows(session)["label_any"].tolist()[2] is True
    # A day whose facts are gone is gone.
    session.connection.execute(f"delete from product.fact_feature_metrics where event_date = '{day(1)}'")
    assert build_facts_with_risk(session) == 3
    assert sorted(states(session)) == [day(0), day(2)]


def test_the_view_of_roots_that_were_made_before_becomes_a_table(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", _env_file=None)  # type: ignore[call-arg]
    settings.warehouse_path.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("create schema product")
        connection.execute("create view product.feature_metrics_with_risk as select 1 as event_date")
    with open_warehouse(settings) as session:
        fill(session)
        assert build_facts_with_risk(session) == 4
